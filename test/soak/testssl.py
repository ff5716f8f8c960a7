#!/usr/bin/env python3
"""testssl.sh against the default policy of TLS: no weakness in any of its checks.

Protocols, key exchange, server defaults, forward secrecy, known vulnerabilities and the preference
of ciphers, with an ECDSA and an RSA certificate side by side. What is not about TLS (HTTP fields of
the answer, DNS records, how the test's certificates are revoked) is left out. Takes a minute.

    test/soak/testssl.py [--sluice PATH] [--keep FILE.json]
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))

from gateway import Gateway  # noqa: E402
from pki import Pki  # noqa: E402

BINARY = os.environ.get("SLUICE", os.path.join(HERE, "..", "..", "build", "release", "sluice"))
CHECKS = ["--protocols", "--server-preference", "--std", "--fs", "--server-defaults", "--vulnerable"]
# Of the test's own authority, of the machine that runs the test (whose openssl has left before a ticket of TLS 1.3 comes), and
# what HTTP says above TLS.
NOT_OURS = ("cert_revocation", "DNS_CAArecord", "engine_problem", "HSTS", "security_headers", "sessionresumption_ticket", "BREACH")


def run(directory, binary, keep):
    made = Pki(directory)
    for name, kind in (("www", "ec"), ("rsa", "rsa")):
        made.make(name, "www.test", "localhost", "127.0.0.1", kind=kind, days=90)
    certificates = [{"cert": made.path(f"{name}.pem"), "key": made.path(f"{name}.key")} for name in ("www", "rsa")]
    gateway = Gateway(binary, os.path.join(directory, "gateway"), {
        "listeners": [{"name": "main", "bind": "127.0.0.1:0", "tls": {"certificates": certificates}}],
        "routes": [{"name": "echo", "echo": True}]})
    told = os.path.join(directory, "told.json")
    try:
        command = shutil.which("testssl") or "testssl.sh"
        subprocess.run([command, "--quiet", "--color", "0", "--warnings", "off", "--ip", "one", "--add-ca", made.ca,
                        "--jsonfile", told, *CHECKS, gateway.address], stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, check=False, timeout=1800)
        with open(told, encoding="utf-8") as file:
            findings = json.load(file)
    finally:
        gateway.stop()
    if keep:
        shutil.copy(told, keep)
    return findings


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sluice", default=BINARY)
    parser.add_argument("--keep", help="copy what testssl.sh found there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        findings = run(directory, os.path.abspath(options.sluice), options.keep)
    ours = [f for f in findings if not f["id"].split(" ")[0].startswith(NOT_OURS)]
    weak = [f for f in ours if f["severity"] not in ("OK", "INFO")]
    known = {f["id"]: f["finding"] for f in ours}
    for finding in weak:
        print(f"{finding['severity']:8} {finding['id']}: {finding['finding']}")
    missing = [name for name in ("TLS1_2", "TLS1_3", "PFS_ciphers", "heartbleed", "ROBOT", "LUCKY13", "secure_renego") if name not in known]
    print(f"{len(ours)} findings, {len(weak)} weak; not looked at: {missing or 'nothing'}")
    return 1 if weak or missing else 0


if __name__ == "__main__":
    sys.exit(main())
