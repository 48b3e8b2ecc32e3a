# Tries the rules of a node's firewall with real packets. Runs in a network namespace of its own, as root;
# a second namespace, on the other end of a cable, is the outside.
import ctypes
import os
import socket
import subprocess
import sys

CLONE_NEWNET = 0x40000000
NOBODY = 65534
WAIT_S = 0.4
HERE, OFFICE, STRANGER = "192.0.2.1", "192.0.2.7", "198.51.100.7"


def run(*args):
    subprocess.run(args, check=True, stdout=subprocess.DEVNULL)


def listen(address, port, kind=socket.SOCK_STREAM):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    server = socket.socket(family, kind)
    server.bind((address, port))
    if kind == socket.SOCK_STREAM:
        server.listen(8)
    return server


def reaches(address, port, source=None):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    client = socket.socket(family, socket.SOCK_STREAM)
    client.settimeout(WAIT_S)
    try:
        if source:
            client.bind((source, 0))
        client.connect((address, port))
        return True
    except OSError:
        return False
    finally:
        client.close()


def elsewhere(work, uid=0):
    """Returns whether the work, done by another process, says yes."""
    child = os.fork()
    if child == 0:
        yes = False
        try:
            if uid:
                os.setgroups([])
                os.setresuid(uid, uid, uid)
            yes = work()
        finally:
            os._exit(0 if yes else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def outside():
    """A process in a namespace of its own, which is asked through a pipe."""
    (ask_r, ask_w), (say_r, say_w) = os.pipe(), os.pipe()
    child = os.fork()
    if child:
        os.close(ask_r), os.close(say_w)
        return child, os.fdopen(ask_w, "w"), os.fdopen(say_r)
    os.close(ask_w), os.close(say_r)
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        os._exit(1)
    ask, say = os.fdopen(ask_r), os.fdopen(say_w, "w")
    kept = []
    print("there", file=say, flush=True)
    for line in ask:
        words = line.split()
        if words[0] == "up":
            run("ip", "link", "set", "lo", "up")
            run("ip", "link", "set", "outside", "up")
            for address in (OFFICE + "/24", STRANGER + "/24"):
                run("ip", "address", "add", address, "dev", "outside")
            kept.append(listen(OFFICE, 80))
            answer = "yes"
        else:
            answer = "yes" if reaches(HERE if words[0] != STRANGER else "198.51.100.1", int(words[1]), words[0]) else "no"
        print(answer, file=say, flush=True)
    os._exit(0)


def main():
    child, ask, say = outside()
    say.readline()
    run("ip", "link", "set", "lo", "up")
    run("ip", "link", "add", "cable", "type", "veth", "peer", "name", "outside", "netns", str(child))
    run("ip", "link", "set", "cable", "up")
    for address in (HERE + "/24", "198.51.100.1/24"):
        run("ip", "address", "add", address, "dev", "cable")
    for address in ("169.254.169.254/32", "fd00:ec2::254/128"):
        run("ip", "address", "add", address, "dev", "lo", *(["nodad"] if ":" in address else []))

    def told(*words):
        print(*words, file=ask, flush=True)
        return say.readline().strip() == "yes"

    told("up")
    servers = [listen("0.0.0.0", port) for port in (22, 443, 8080)]
    metadata = [listen(address, port) for address in ("169.254.169.254", "fd00:ec2::254") for port in (80, 53)]

    def matrix():
        return {
            "office ssh": told(OFFICE, "22"),
            "stranger ssh": told(STRANGER, "22"),
            "stranger https": told(STRANGER, "443"),
            "office unnamed": told(OFFICE, "8080"),
            "root metadata": elsewhere(lambda: reaches("169.254.169.254", 80)),
            "workspace metadata": elsewhere(lambda: reaches("169.254.169.254", 80), NOBODY),
            "workspace metadata 6": elsewhere(lambda: reaches("fd00:ec2::254", 80), NOBODY),
            "workspace names": elsewhere(lambda: reaches("169.254.169.254", 53), NOBODY),
            "workspace outwards": elsewhere(lambda: reaches(OFFICE, 80), NOBODY),
        }

    open_ways = matrix()
    if not all(open_ways.values()):
        sys.exit("without rules: %s" % open_ways)
    # Twice: it replaces itself.
    run("nft", "-f", sys.argv[1])
    run("nft", "-f", sys.argv[1])
    closed = {"stranger ssh", "office unnamed", "workspace metadata", "workspace metadata 6"}
    found = matrix()
    wrong = {way: is_open for way, is_open in found.items() if is_open == (way in closed)}
    if wrong:
        sys.exit("with rules: %s" % wrong)
    ask.close()
    os.waitpid(child, 0)
    del servers, metadata
    print("as it should be")


main()
