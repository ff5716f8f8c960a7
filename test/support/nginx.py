"""A real nginx as an upstream: its own temporary directory, its own port, any user.

The listening socket is opened here and inherited by nginx (as in its binary upgrade), so the port
is free for certain and connections wait rather than fail while nginx starts.
"""

import os
import shutil
import signal
import socket
import subprocess

CONF = """
{user}
daemon off;
worker_processes {workers};
pid {dir}/nginx.pid;
error_log {dir}/error.log info;
events {{ worker_connections 4096; }}
http {{
    log_format told '$connection $connection_requests $request_method $request_uri $status';
    access_log {access_log};
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    types {{ text/plain txt; application/octet-stream bin; text/html html; }}
    keepalive_requests 10000000;
    client_max_body_size 0;
    gzip on;
    gzip_min_length 100;
    gzip_types text/plain;
    gzip_http_version 1.0;
    gzip_proxied any;
    server {{
        listen 127.0.0.1:{port} backlog=4096{proxied}{listen};
        {server}
        root {dir}/files;
        location / {{ }}
        location = /who {{
            default_type text/plain;
            return 200 "$request_method $request_uri $server_protocol host=$http_host conn=$connection n=$connection_requests\\n";
        }}
        location /upload/ {{ dav_methods PUT; create_full_put_path on; client_body_buffer_size 64k; }}
        location = /proxied {{
            default_type text/plain;
            return 200 "$proxy_protocol_addr $proxy_protocol_port\\n";
        }}
        location = /empty {{ return 204; }}
        location = /moved {{ return 302 /who; }}
        location = /auth {{ return 403 "no\\n"; }}
    }}
}}
"""


class Nginx:
    """files: {name: bytes} served under /. proxied: connections begin with a PROXY header. stop() it at the end."""

    def __init__(self, directory, files=None, workers=1, log=True, proxied=False, listen="", server=""):
        binary = shutil.which("nginx") or "/usr/sbin/nginx"
        self.dir = str(directory)
        os.makedirs(f"{self.dir}/files", exist_ok=True)
        for name, data in (files or {}).items():
            self.write(name, data)
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", 0))
        listening.listen(4096)
        self.port = listening.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        user = "user root;" if os.geteuid() == 0 else ""
        access = f"{self.dir}/access.log told" if log else "off"
        with open(f"{self.dir}/nginx.conf", "w", encoding="utf-8") as out:
            out.write(CONF.format(user=user, dir=self.dir, port=self.port, workers=workers, access_log=access,
                                  proxied=" proxy_protocol" if proxied else "",
                                  listen=listen and " " + listen, server=server))
        os.set_inheritable(listening.fileno(), True)
        self.process = subprocess.Popen(
            [binary, "-c", f"{self.dir}/nginx.conf", "-p", self.dir, "-e", f"{self.dir}/error.log"],
            env={**os.environ, "NGINX": f"{listening.fileno()};"}, pass_fds=[listening.fileno()],
            stdout=subprocess.DEVNULL, stderr=open(f"{self.dir}/stderr", "wb"), start_new_session=True)
        listening.close()

    def write(self, name, data):
        with open(f"{self.dir}/files/{name}", "wb") as out:
            out.write(data)

    def accesses(self):
        """[(connection, request number on it, method, target, status)] as nginx logged them."""
        with open(f"{self.dir}/access.log", encoding="utf-8") as log:
            rows = [line.split() for line in log]
        return [(int(c), int(n), method, target, int(status)) for c, n, method, target, status in rows]

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
