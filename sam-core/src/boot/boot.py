# Makes a SAM node of a new machine. cloud-init is a Python program, so python3 is on every machine
# that reads this. All values come from the plan (JSON) and boot.json; programs are started with
# lists of arguments, never through a shell; the token is in no argument and in no report. Every
# phase is reported when it starts and when it ends, and the first that fails ends the boot.
import base64
import hashlib
import hmac
import http.client
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

MESSAGE_CHARS_MAX = 400
BLOCK_BYTES = 65536
SOCKET_TIMEOUT_S = 20


class Failed(Exception):
    """The phase failed; another try may succeed."""


class Hopeless(Failed):
    """The phase failed; another try would fail, too."""


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


DIRECT = urllib.request.ProxyHandler({})
REPORTS = urllib.request.build_opener(DIRECT, NoRedirect)
DOWNLOADS = urllib.request.build_opener(DIRECT)


def is_final(status):
    return 300 <= status < 500 and status not in (408, 425, 429)


class Boot:
    def __init__(self, path):
        with open(path) as file:
            self.plan = json.load(file)
        self.boot_file = self.at(self.plan["boot_file"])
        with open(self.boot_file) as file:
            data = json.load(file)
        self.node_id = data["node_id"]
        self.token = data.get("token")
        controls = data["control_url"].split(",")
        self.controls = [c.rstrip("/") for c in controls if c.startswith(("http://", "https://"))]
        self.deadline = time.monotonic() + self.plan["deadline_ms"] / 1000

    def at(self, path):
        return self.plan["root"] + path

    def left(self):
        return self.deadline - time.monotonic()

    # -- what every phase uses

    def run(self, *args):
        env = {"PATH": self.plan["path"], "HOME": "/root", "LC_ALL": "C.UTF-8"}
        env["DEBIAN_FRONTEND"] = "noninteractive"
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE}
        if self.left() <= 0:
            raise Hopeless("the boot took too long")
        try:
            # A session of its own, so that all of it can be ended.
            process = subprocess.Popen(
                args, stderr=subprocess.STDOUT, env=env, start_new_session=True, **pipes
            )
        except OSError as error:
            raise Failed("%s cannot be started: %s" % (args[0], error.strerror))
        try:
            output, _ = process.communicate(timeout=self.left())
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise Hopeless("%s was not done when the boot had to be" % args[0])
        text = output.decode(errors="replace").strip()
        if process.returncode != 0:
            command = " ".join(args)[:120]
            raise Failed("%s ended with %d: %s" % (command, process.returncode, text[-240:]))
        return text

    def tried(self, work):
        bound = self.plan["retry"]
        deadline = min(self.deadline, time.monotonic() + bound["deadline_ms"] / 1000)
        pause = bound["pause_ms"] / 1000
        for attempt in range(1, bound["tries"] + 1):
            try:
                return work(deadline)
            except Hopeless:
                raise
            except Failed as error:
                last = error
            if attempt == bound["tries"] or time.monotonic() + pause >= deadline:
                break
            time.sleep(pause)
            pause *= 2
        raise Failed("%s; tried %d times" % (last, attempt))

    def has(self, program):
        return shutil.which(program, path=self.plan["path"]) is not None

    def install(self, packages):
        def work(_):
            options = ["-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3"]
            self.run("apt-get", "-q", *options, "update")
            self.run("apt-get", "-q", "-y", *options, "--no-install-recommends", "install", *packages)

        self.tried(work)

    # -- reports

    def report(self, phase, state, message=None):
        said = {"node_id": self.node_id, "phase": phase, "state": state}
        if message is not None:
            message = message.replace(self.token, "[redacted]")
            said["message"] = message[:MESSAGE_CHARS_MAX]
        print("sam-boot: %s %s%s" % (phase, state, ": " + message if message else ""), flush=True)
        body = json.dumps(said).encode()
        seed = hashlib.sha256(self.token.encode()).digest()
        text = b"sam-boot-report-v1" + self.node_id.encode()
        key = hmac.new(seed, text, hashlib.sha256).digest()
        proof = base64.urlsafe_b64encode(hmac.new(key, body, hashlib.sha256).digest())
        headers = {"content-type": "application/json", "sam-boot-proof": proof.decode().rstrip("=")}
        bound = self.plan["report"]
        pause = bound["pause_ms"] / 1000
        for attempt in range(bound["tries"]):
            if attempt:
                time.sleep(pause)
                pause *= 2
            for control in self.controls:
                url = control + "/api/nodes/boot-report"
                request = urllib.request.Request(url, data=body, headers=headers, method="POST")
                try:
                    REPORTS.open(request, timeout=bound["timeout_ms"] / 1000).close()
                    return
                except urllib.error.HTTPError as error:
                    error.close()
                    if is_final(error.code):
                        print("sam-boot: the report was refused: %d" % error.code, flush=True)
                        return
                except (OSError, http.client.HTTPException) as error:
                    print("sam-boot: no report: %s" % type(error).__name__, flush=True)

    # -- the phases, by their names

    def start(self):
        if os.geteuid() != 0 and not self.plan["root"]:
            raise Hopeless("the boot program does not run as root")

    def journal(self):
        self.run("systemctl", "restart", "systemd-journald.service")
        self.run("journalctl", "--flush")
        if not os.path.isdir(self.at("/var/log/journal")):
            raise Failed("the journal is not kept on the disk")

    def swap(self):
        path = self.at("/swapfile")
        size = self.plan["swap_mib"] * 1024 * 1024
        with open("/proc/swaps") as file:
            if any(line.split()[0] == path for line in file):
                return
        keep = self.plan["swap_keep_free_mib"] * 1024 * 1024
        if shutil.disk_usage(os.path.dirname(path)).free < size + keep:
            raise Hopeless("the disk is too small for the swap that is asked for")
        fd = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
        try:
            os.fchmod(fd, 0o600)
            os.posix_fallocate(fd, 0, size)
        finally:
            os.close(fd)
        self.run("mkswap", path)
        self.run("swapon", path)
        line = "/swapfile none swap sw 0 0\n"
        with open(self.at("/etc/fstab"), "a+") as file:
            file.seek(0)
            known = file.read()
            if line not in known:
                file.write(line if known.endswith("\n") or not known else "\n" + line)

    def packages(self):
        wanted = self.plan["packages"]
        missing = sorted(wanted[program] for program in wanted if not self.has(program))
        if missing:
            self.install(missing)
        for program in wanted:
            if not self.has(program):
                raise Hopeless("%s is not there, and %s did not bring it" % (program, wanted[program]))

    def docker(self):
        if not self.has("dockerd"):
            self.install(["docker.io"])
        self.run("usermod", "-aG", "docker", self.plan["user"])
        # Also where the image brought Docker: from here on it logs to the journal.
        self.run("systemctl", "restart", "docker.service")
        driver = self.run("docker", "info", "--format", "{{.LoggingDriver}}")
        if driver != "journald":
            raise Failed("Docker logs by %s, not to the journal" % driver[:40])

    def firewall(self):
        self.run("systemctl", "daemon-reload")
        self.run("systemctl", "enable", "sam-firewall.service")
        self.run("systemctl", "restart", "sam-firewall.service")
        rules = self.run("nft", "list", "table", "inet", "sam")
        for rule in ["policy drop"] + self.plan["metadata"]:
            if rule not in rules:
                raise Failed("the firewall is not in force: it lacks %s" % rule)

    def release(self):
        machine = os.uname().machine
        release = self.plan["agent"].get(machine)
        if release is None:
            raise Hopeless("there is no agent for the processor %s" % machine)
        return release, self.at(self.plan["agent_program"]), self.at(self.plan["agent_program"]) + ".part"

    def agent_download(self):
        release, program, part = self.release()
        os.makedirs(os.path.dirname(program), exist_ok=True)
        self.tried(lambda deadline: self.download(release, part, deadline))

    def download(self, release, part, deadline):
        digest, length = hashlib.sha256(), 0
        fd = os.open(part, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(fd, "wb") as file:
                with DOWNLOADS.open(release["url"], timeout=SOCKET_TIMEOUT_S) as reply:
                    stated = reply.headers.get("content-length")
                    for block in iter(lambda: reply.read1(BLOCK_BYTES), b""):
                        length += len(block)
                        if length > self.plan["agent_bytes_max"]:
                            raise Hopeless("the agent is larger than an agent may be")
                        if time.monotonic() >= deadline:
                            raise Failed("the download took too long")
                        digest.update(block)
                        file.write(block)
                file.flush()
                os.fsync(file.fileno())
        except urllib.error.HTTPError as error:
            kind = Hopeless if is_final(error.code) else Failed
            raise kind("the download was answered with status %d" % error.code)
        except (http.client.HTTPException, OSError) as error:
            raise Failed("the download broke off: %s" % (str(error) or type(error).__name__))
        if stated is not None and stated != str(length):
            raise Failed("the download ended after %d of %s bytes" % (length, stated))
        if not hmac.compare_digest(digest.hexdigest(), release["sha256"]):
            raise Failed("the checksum of the agent is %s, not as stated" % digest.hexdigest())

    def agent_verify(self):
        release, program, part = self.release()
        if release.get("signature") is not None:
            key, signature = part + ".pem", part + ".sig"
            der = bytes.fromhex("302a300506032b6570032100")
            pem = base64.b64encode(der + base64.b64decode(release["public_key"])).decode()
            with open(key, "w") as file:
                file.write("-----BEGIN PUBLIC KEY-----\n%s\n-----END PUBLIC KEY-----\n" % pem)
            with open(signature, "wb") as file:
                file.write(base64.b64decode(release["signature"]))
            check = ["-verify", "-rawin", "-pubin", "-inkey", key, "-in", part, "-sigfile", signature]
            try:
                self.run("openssl", "pkeyutl", *check)
            except Failed as error:
                os.unlink(part)
                raise Hopeless("the signature of the agent is not confirmed: %s" % error)
            finally:
                os.unlink(key)
                os.unlink(signature)
        os.chmod(part, 0o755)
        os.replace(part, program)

    def agent_start(self):
        user = pwd.getpwnam(self.plan["user"])
        home = os.path.dirname(self.boot_file)
        # The file first: while the directory is ours, nobody can put another in its place.
        os.chmod(self.boot_file, 0o600)
        os.chown(self.boot_file, user.pw_uid, user.pw_gid)
        os.chmod(home, 0o700)
        os.chown(home, user.pw_uid, user.pw_gid)
        self.run("systemctl", "daemon-reload")
        self.run("systemctl", "enable", "sam-agentd.service")
        self.run("systemctl", "restart", "sam-agentd.service")
        # One that ends at once is noticed: it is being restarted by then.
        time.sleep(self.plan["agent_settles_ms"] / 1000)
        self.run("systemctl", "is-active", "sam-agentd.service")


def main():
    boot = Boot(sys.argv[1])
    if boot.token is None:
        print("sam-boot: this node was set up before", flush=True)
        return 0
    for phase in boot.plan["phases"]:
        boot.report(phase, "started")
        try:
            getattr(boot, phase)()
        except Failed as error:
            boot.report(phase, "failed", str(error))
            return 1
        except Exception as error:
            boot.report(phase, "failed", "%s: %s" % (type(error).__name__, error))
            return 1
        boot.report(phase, "done")
    return 0


if __name__ == "__main__":
    sys.exit(main())
