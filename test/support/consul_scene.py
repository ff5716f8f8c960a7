"""What the tests of Consul share: configurations, and what the gateway says of its members."""

from raw import wait_until


def config(fake, consul=None, **sources):
    """Upstreams by name from their consul sources; each has a route /NAME."""
    sources = sources or {"web": "web"}
    return {"consul": {"address": fake.address, "shrink_grace": "0s", **(consul or {})},
            "ready_timeout": "1s",
            "upstreams": {name: {"consul": source} for name, source in sources.items()},
            "routes": [{"match": {"path": f"/{name}"}, "upstream": name} for name in sources]}


def members(gateway, upstream="web"):
    """{address: the endpoint} of what is in use."""
    for one in gateway.admin.json("/upstreams")["upstreams"]:
        if one["name"] == upstream:
            return {e["address"]: e for e in one["endpoints"]}
    return {}


def source(gateway, upstream="web"):
    return next(u["source"] for u in gateway.admin.json("/upstreams")["upstreams"] if u["name"] == upstream)


def wait_members(gateway, *addresses, upstream="web"):
    wait_until(lambda: set(members(gateway, upstream)) == set(addresses),
               what=f"members {addresses}, have {set(members(gateway, upstream))}")


def state(gateway, service="web"):
    return [s[1]["state"] for s in gateway.metrics().find("sluice_consul_state", service=service)][0]


def wait_state(gateway, wanted, service="web"):
    wait_until(lambda: state(gateway, service) == wanted, what=f"{service} is {wanted}")


def serves(gateway, path="/web"):
    return gateway.ask(target=path).status == 200


def wait_waiting(fake, name="web"):
    """The gateway has a blocking query open, so it has applied all that was there."""
    wait_until(lambda: fake.services["dc1", name].waiters, what=f"a blocking query for {name}")
