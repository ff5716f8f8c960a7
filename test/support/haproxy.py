"""A real HAProxy in front of the gateway or behind it: its own directory, its own port.

The listening socket is opened here and inherited (bind fd@), so the port is free for certain and
connections wait rather than fail while HAProxy starts.
"""

import os
import shutil
import socket
import subprocess

CONF = """
global
    maxconn 200
    stats socket {dir}/admin.sock level admin
defaults
    mode {mode}
    timeout connect 10s
    timeout client 60s
    timeout server 60s
{text}
"""


def inheritable():
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", 0))
    listening.listen(128)
    os.set_inheritable(listening.fileno(), True)
    return listening


class Haproxy:
    """text: the sections of its configuration, in which {bind} stands for where it listens. stop() it at the end."""

    def __init__(self, directory, text, mode="http"):
        self.dir = str(directory)
        os.makedirs(self.dir, exist_ok=True)
        listening = inheritable()
        self.port = listening.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        with open(f"{self.dir}/haproxy.cfg", "w", encoding="ascii") as out:
            out.write(CONF.format(dir=self.dir, mode=mode, text=text.replace("{bind}", f"fd@{listening.fileno()}")))
        self.process = subprocess.Popen([shutil.which("haproxy") or "/usr/sbin/haproxy", "-db", "-f", f"{self.dir}/haproxy.cfg"],
                                        pass_fds=[listening.fileno()], stdout=subprocess.DEVNULL,
                                        stderr=open(f"{self.dir}/stderr", "wb"), start_new_session=True)
        listening.close()

    def stop(self):
        self.process.kill()
        self.process.wait()
