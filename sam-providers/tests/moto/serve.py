"""moto on a free port of loopback, with what the tests need and it lacks.

- Signatures are checked, in headers and in URLs, bodies and lifetimes included; one access key is
  known. (moto's own check, INITIAL_NO_AUTH_ACTION_COUNT, refuses listings that are signed well: it
  leaves the query out.) The header x-test-later moves the clock for one URL, in seconds.
- Sign knows MessageType=DIGEST.
- Requests are carried out one after the other, so that If-None-Match holds among writers.

The first line of the output says where it is and what there is. It ends with its input.
"""

import base64
import calendar
import hashlib
import hmac
import json
import sys
import threading
import time

import io
import logging
import secrets
from urllib.parse import quote, unquote

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, utils
from moto.backends import get_backend
from moto.kms.responses import KmsResponse
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

ACCOUNT = "123456789012"
REGION = "eu-central-1"
BUCKETS = ["sam-blobs", "sam.dots"]
TURN = threading.Lock()

logging.getLogger("werkzeug").setLevel(logging.ERROR)


def make_keys():
    kms = get_backend("kms")[ACCOUNT][REGION]

    def key(usage, spec):
        return kms.create_key(
            policy=None, key_usage=usage, key_spec=spec, description="", tags=None
        ).id

    signing = [key("SIGN_VERIFY", "RSA_2048") for _ in range(3)]
    wrapping = [key("ENCRYPT_DECRYPT", "SYMMETRIC_DEFAULT") for _ in range(2)]
    return signing, wrapping


def sign_digest(original):
    def sign(self):
        if self._get_param("MessageType") != "DIGEST":
            return original(self)
        key = self.kms_backend.describe_key(self._get_param("KeyId"))
        digest = base64.b64decode(json.loads(self.body)["Message"])
        algorithm = self._get_param("SigningAlgorithm")
        if algorithm != "RSASSA_PKCS1_V1_5_SHA_256" or len(digest) != 32:
            raise ValueError("only hashes for RS256 are known here")
        private = key.private_key.private_key
        signature = private.sign(digest, padding.PKCS1v15(), utils.Prehashed(hashes.SHA256()))
        signature = base64.b64encode(signature).decode()
        return json.dumps({"KeyId": key.arn, "Signature": signature, "SigningAlgorithm": algorithm})

    return sign


def keyed(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


class Refused(Exception):
    pass


class Front:
    def __init__(self, app, credentials):
        self.app, self.credentials = app, credentials

    def __call__(self, environ, start):
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length)
        environ["wsgi.input"] = io.BytesIO(body)
        try:
            if "X-Amz-Signature=" in environ.get("QUERY_STRING", ""):
                self.check_url(environ)
            else:
                self.check_header(environ, body)
        except Refused as refused:
            return self.refuse(environ, start, str(refused))
        with TURN:
            return [b"".join(self.app(environ, start))]

    def refuse(self, environ, start, code):
        if "HTTP_X_AMZ_TARGET" in environ:
            names = {
                "InvalidAccessKeyId": "UnrecognizedClientException",
                "SignatureDoesNotMatch": "InvalidSignatureException",
            }
            status, kind = "400 Bad Request", "application/x-amz-json-1.1"
            body = json.dumps({"__type": names.get(code, code)}).encode()
        else:
            # As S3 does, it repeats what was signed.
            token = environ.get("HTTP_X_AMZ_SECURITY_TOKEN", "")
            status, kind = "403 Forbidden", "application/xml"
            body = f"<Error><Code>{code}</Code><CanonicalRequest>{token}</CanonicalRequest></Error>"
            body = body.encode()
        start(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
        return [body]

    def check_header(self, environ, body):
        """Checks the header authorization."""
        scheme, _, rest = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme != "AWS4-HMAC-SHA256":
            raise Refused("AccessDenied")
        parts = dict(part.strip().split("=", 1) for part in rest.split(","))
        hashed = hashlib.sha256(body).hexdigest()
        claimed = environ.get("HTTP_X_AMZ_CONTENT_SHA256", hashed)
        if claimed not in (hashed, "UNSIGNED-PAYLOAD"):
            raise Refused("XAmzContentSHA256Mismatch")
        names = parts["SignedHeaders"].split(";")
        if "host" not in names or "x-amz-date" not in names:
            raise Refused("SignatureDoesNotMatch")
        raw_path, _, raw_query = environ["REQUEST_URI"].partition("?")
        date = environ["HTTP_X_AMZ_DATE"]
        pairs = self.pairs(raw_query)
        self.check(environ, (raw_path, pairs, names, claimed), date, parts["Credential"], parts["Signature"])

    def check_url(self, environ):
        """Checks a signed URL, and turns it into a request with a signed header."""
        raw_path, _, raw_query = environ["REQUEST_URI"].partition("?")
        pairs = self.pairs(raw_query)
        asked = dict(pairs)
        pairs = [pair for pair in pairs if pair[0] != "X-Amz-Signature"]
        date, credential = asked["X-Amz-Date"], asked["X-Amz-Credential"]
        signed = (raw_path, pairs, asked["X-Amz-SignedHeaders"].split(";"), "UNSIGNED-PAYLOAD")
        region = self.check(environ, signed, date, credential, asked["X-Amz-Signature"])
        signed_at = calendar.timegm(time.strptime(date, "%Y%m%dT%H%M%SZ"))
        lifetime = int(asked["X-Amz-Expires"])
        now = time.time() + float(environ.get("HTTP_X_TEST_LATER", "0"))
        if not 1 <= lifetime <= 604800 or now > signed_at + lifetime:
            raise Refused("AccessDenied")
        url = f"http://{environ['HTTP_HOST']}{raw_path}"
        request = AWSRequest(environ["REQUEST_METHOD"], url, headers={"Host": environ["HTTP_HOST"]})
        request.context["payload_signing_enabled"] = False
        S3SigV4Auth(self.credentials, "s3", region).add_auth(request)
        for name, value in request.headers.items():
            environ["HTTP_" + name.upper().replace("-", "_")] = value
        environ["QUERY_STRING"] = ""
        environ["REQUEST_URI"] = environ["RAW_URI"] = raw_path

    @staticmethod
    def pairs(raw_query):
        split = [pair.partition("=")[::2] for pair in raw_query.split("&") if pair]
        return [(unquote(name), unquote(value)) for name, value in split]

    def check(self, environ, signed, date, credential, signature):
        path, pairs, names, hashed = signed
        known, day, region, service, end = credential.split("/")
        if known != self.credentials.access_key:
            raise Refused("InvalidAccessKeyId")

        def header(name):
            value = environ.get("HTTP_" + name.upper().replace("-", "_"))
            return environ.get(name.upper().replace("-", "_"), "") if value is None else value

        encoded = sorted((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in pairs)
        canonical = "\n".join(
            [
                environ["REQUEST_METHOD"],
                path,
                "&".join(f"{name}={value}" for name, value in encoded),
                "".join(f"{name}:{header(name).strip()}\n" for name in names),
                ";".join(names),
                hashed,
            ]
        )
        hashed = hashlib.sha256(canonical.encode()).hexdigest()
        to_sign = f"AWS4-HMAC-SHA256\n{date}\n{day}/{region}/{service}/{end}\n{hashed}"
        key = ("AWS4" + self.credentials.secret_key).encode()
        for part in (day, region, service, end):
            key = keyed(key, part)
        if not hmac.compare_digest(keyed(key, to_sign).hex(), signature):
            raise Refused("SignatureDoesNotMatch")
        return region


def main():
    credentials = Credentials("AKIA" + secrets.token_hex(8).upper(), secrets.token_urlsafe(30))
    signing, wrapping = make_keys()
    KmsResponse.sign = sign_digest(KmsResponse.sign)
    s3 = get_backend("s3")[ACCOUNT]["aws"]
    for bucket in BUCKETS:
        s3.create_bucket(bucket, REGION)
    app = Front(DomainDispatcherApplication(create_backend_app), credentials)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    told = {
        "endpoint": f"http://127.0.0.1:{server.server_port}",
        "region": REGION,
        "access_key_id": credentials.access_key,
        "secret_access_key": credentials.secret_key,
        "signing": signing,
        "wrapping": wrapping,
        "buckets": BUCKETS,
    }
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps(told), flush=True)
    sys.stdin.read()


main()
