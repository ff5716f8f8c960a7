"""The plugins of the tests: where they are, and what the probe says of itself."""

import os

PROBE_DONE = "probe done"


def folder(binary):
    """Where make leaves the plugins of test/plugins/so for this binary."""
    return os.path.join(os.path.dirname(binary), "test", "so")


def probe(word, name=None, entry=None, **options):
    """An entry of a list of plugins."""
    made = {"probe": {"word": word, **options}, **(entry or {})}
    if name:
        made["name"] = name
    return made


def marks(response, field="x-probe"):
    """What the probes said in the response, the one that wrote last at the end."""
    return [value.split(" ") for key, value in response.fields if key.lower() == field]


def done(gateway, word=None):
    """What ran at each place, from on_done: [["r.request", ...], ...]."""
    ran = [record["ran"].split(" ") for record in gateway.log(PROBE_DONE)]
    return [one for one in ran if word is None or one[0].startswith(word + ".")]
