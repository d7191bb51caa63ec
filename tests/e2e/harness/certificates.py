"""TLS certificates, made by the openssl program."""

from .process import run


def make_certificate(path, key, name, names=None):
    """A certificate of `name` and its key, as PEM files; it is signed by itself, for two days. `names` are "DNS:…" and "IP:…", with commas."""
    run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", f"/CN={name}",
         *(["-addext", f"subjectAltName={names}"] if names else []), "-keyout", key, "-out", path])
