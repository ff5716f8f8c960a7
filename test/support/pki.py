"""An authority that signs what a test needs, and a client that speaks TLS."""

import datetime
import os
import ssl
import subprocess

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

import raw


def openssl(directory, *args):
    subprocess.run(["openssl", *args], cwd=directory, check=True, stdin=subprocess.DEVNULL, capture_output=True)


class Pki:
    """An authority in a directory, and what it signs."""

    def __init__(self, directory):
        self.dir = directory
        openssl(directory, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                "ca.key", "-out", "ca.pem", "-days", "30", "-subj", "/CN=test authority")

    def path(self, name):
        return os.path.join(self.dir, name)

    @property
    def ca(self):
        return self.path("ca.pem")

    def make(self, name, *names, kind="ec", days=10):
        """NAME.pem and NAME.key for these names; returns the configuration of the pair."""
        key = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"] if kind == "ec" else ["rsa:2048"]
        openssl(self.dir, "req", "-newkey", *key, "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj",
                f"/CN={name}")
        with open(self.path(f"{name}.ext"), "w", encoding="ascii") as out:
            kinds = [f"IP:{n}" if n[0].isdigit() else f"DNS:{n}" for n in names]
            out.write(f"subjectAltName={','.join(kinds)}\n")
        openssl(self.dir, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                "-out", f"{name}.pem", "-days", str(days), "-extfile", f"{name}.ext")
        return {"cert": self.path(f"{name}.pem"), "key": self.path(f"{name}.key")}

    def revoke(self, *names, days=10):
        """A list of the authority (CRL) with the certificates of these names; its path."""
        with open(self.ca, "rb") as cert, open(self.path("ca.key"), "rb") as key:
            authority = x509.load_pem_x509_certificate(cert.read())
            secret = serialization.load_pem_private_key(key.read(), None)
        now = datetime.datetime.utcnow()
        made = x509.CertificateRevocationListBuilder(issuer_name=authority.subject, last_update=now - datetime.timedelta(days=20),
                                                     next_update=now + datetime.timedelta(days=days))
        for name in names:
            with open(self.path(f"{name}.pem"), "rb") as file:
                serial = x509.load_pem_x509_certificate(file.read()).serial_number
            made = made.add_revoked_certificate(x509.RevokedCertificateBuilder(serial, now - datetime.timedelta(days=1)).build())
        text = made.sign(secret, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        path = self.path("ca.crl")
        with open(f"{path}.new", "wb") as out:
            out.write(text)
        os.replace(f"{path}.new", path)
        return path

    def subject(self, name):
        with open(self.path(f"{name}.pem"), encoding="ascii") as pem:
            return ssl.PEM_cert_to_DER_cert(pem.read())

    def client(self, **options):
        """A context that believes the authority."""
        context = ssl.create_default_context(cafile=self.ca)
        for name, value in options.items():
            setattr(context, name, value)
        return context

    def server(self, name, client_ca=False):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.path(f"{name}.pem"), self.path(f"{name}.key"))
        if client_ca:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.ca)
        return context


class TlsClient(raw.Client):
    def __init__(self, address, context, name="www.test", session=None, receive_buffer=None):
        super().__init__(address, receive_buffer)
        self.sock = context.wrap_socket(self.sock, server_hostname=name, session=session)

    def send(self, *pieces):
        for piece in pieces:
            self.sock.sendall(piece)
