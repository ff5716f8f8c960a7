"""Tunnels, half of them over TLS, through reloads, a new certificate and new members; test/soak/tunnels.py is the large run."""

from tunnels import Tunnels

COUNT, RELOADS = 200, 10


def test_none_is_lost_whatever_changes(binary, tmp_path):
    scene = Tunnels(binary, tmp_path, COUNT)
    try:
        assert scene.open() == COUNT
        assert scene.echo() == COUNT
        for number in range(1, RELOADS + 1):
            scene.gateway.must_reload(scene.config(number))
            if number == 3:
                scene.change_certificate()
            if number == 5:
                scene.change_members()
        assert scene.gateway.metric("sluice_tunnels", route="ws") == COUNT
        assert scene.echo() == COUNT
        scene.wait(lambda: scene.configurations() == 1, "old configurations to go")
    finally:
        scene.close()
