"""A Consul that does on demand what real ones do by accident.

It answers the queries of a consumer (health of a service, all checks, the catalog, prepared queries), blocking ones
too, and has a knob for each way to fail. Start it as a program for load: fake_consul.py --help.
"""

import argparse
import asyncio
import itertools
import json
import socket
import sys
import threading
import time
import urllib.parse

HEAD_MAX = 65536


class Service:
    def __init__(self):
        self.entries = {}  # id: the JSON object of one node
        self.index = 0
        self.body = None  # of the answer, made when asked for
        self.checks = None  # its checks, as a piece of the answer that has all
        self.unwell = {"critical": [], "warning": []}  # its checks in these states, when last changed
        self.waiters = set()


class FakeConsul:
    """stop() it at the end. All methods may be called from any thread."""

    def __init__(self, port=0):
        self.lock = threading.RLock()
        self.services = {}  # (datacenter, name): Service
        self.index = 10
        self.checks_index = self.names_index = 10
        self.checks_waiters, self.names_waiters = set(), set()
        self.unwell_index = {"critical": 10, "warning": 10}
        self.unwell_waiters = {"critical": set(), "warning": set()}
        self.requests = []  # (path, {parameter: value}, token)
        self.counts = {}  # requests by path
        self.queries = {}  # prepared query: (datacenter, service)
        self.connections = 0
        self.refused = 0
        # how to fail
        self.index_header = None  # "0", or "" for none at all; None: the truth
        self.empty_next = {}  # name: how many answers are to be []
        self.hidden = set()  # names whose answers an ACL empties
        self.failing = {}  # name: (status, body)
        self.cached_empty = False  # ?cached is answered by []
        self.hang = False  # never answer again
        self.mute_checks = False  # changes are not told to who waits for all checks
        self.max_connections = None
        self.refuse_with_429 = False
        self.token = None  # the only one that is let in
        self.age = None  # of what a cached answer says, in seconds
        self.record = True
        self.loop = asyncio.new_event_loop()
        self.writers = set()
        self.server = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        self._call(self._listen(port))

    # --- what is registered

    @staticmethod
    def entry(name, ident, address, port, status="passing", node="n1", tags=(), meta=None, weights=None,
              node_meta=None, checks=None, dc="dc1", tagged=None):
        service = {"ID": ident, "Service": name, "Tags": list(tags), "Address": address, "Port": port,
                   "Meta": meta or {}, "TaggedAddresses": tagged or {}}
        if weights:
            service["Weights"] = {"Passing": weights[0], "Warning": weights[1]}
        all_checks = [{"Node": node, "CheckID": "serfHealth", "Status": "passing", "ServiceID": "", "ServiceName": ""},
                      {"Node": node, "CheckID": f"service:{ident}", "Status": status, "ServiceID": ident,
                       "ServiceName": name}]
        all_checks += [{"Node": node, "CheckID": c, "Status": s, "ServiceID": ident, "ServiceName": name}
                       for c, s in (checks or {}).items()]
        return {"Node": {"Node": node, "Address": "127.0.0.1", "Datacenter": dc, "Meta": node_meta or {}},
                "Service": service, "Checks": all_checks}

    def put(self, name, address, ident=None, dc="dc1", silent=False, **facts):
        """Register, or change what is registered. address: "host:port"."""
        host, _, port = address.rpartition(":")
        ident = ident or f"{name}-{address}"
        with self.lock:
            service = self._service(dc, name)
            is_new = ident not in service.entries
            service.entries[ident] = self.entry(name, ident, host.strip("[]"), int(port), dc=dc, **facts)
            if not silent:
                self._changed(service, names=is_new, ident=ident)

    def put_raw(self, name, entry, dc="dc1"):
        with self.lock:
            service = self._service(dc, name)
            service.entries[str(len(service.entries))] = entry
            self._changed(service, names=True)

    def remove(self, name, address=None, dc="dc1"):
        """One address, or the service as a whole."""
        with self.lock:
            service = self._service(dc, name)
            for ident, entry in list(service.entries.items()):
                if address is None or f"{entry['Service']['Address']}:{entry['Service']['Port']}" == address:
                    del service.entries[ident]
            self._changed(service, names=True)

    def touch(self, name, dc="dc1"):
        """The index moves and the content does not."""
        with self.lock:
            self._changed(self._service(dc, name))

    def fail_node(self, node, dc="dc1"):
        """The node's own check is critical, for all that runs there."""
        with self.lock:
            for (datacenter, _), service in self.services.items():
                checks = [check for entry in service.entries.values() for check in entry["Checks"]
                          if check["Node"] == node and check["CheckID"] == "serfHealth"]
                if datacenter != dc or not checks:
                    continue
                for check in checks:
                    check.update(Status="critical", ModifyIndex=self.index + 1)
                self._changed(service)

    def lower_index(self, to):
        """As after a restore from a snapshot: all indexes are this now, and who waits is answered."""
        with self.lock:
            self.index = self.checks_index = self.names_index = to
            for service in self.services.values():
                service.index = to
                self._wake(service.waiters)
            self._wake(self.checks_waiters)
            self._wake(self.names_waiters)
            for status, waiters in self.unwell_waiters.items():
                self.unwell_index[status] = to
                self._wake(waiters)

    def forget(self, index=10):
        """Lose everything, as an agent without a data directory does."""
        with self.lock:
            for service in self.services.values():
                service.entries.clear()
                service.body = service.checks = None
                service.unwell = {status: [] for status in service.unwell}
            self.lower_index(index)

    def asked(self, path):
        """How many requests for this path there were."""
        with self.lock:
            return self.counts.get(path, 0)

    def _service(self, dc, name):
        return self.services.setdefault((dc, name), Service())

    def _changed(self, service, names=False, ident=None):
        self.index += 1
        service.index = self.checks_index = self.index
        service.body = service.checks = None
        for entry in [service.entries[ident]] if ident in service.entries else service.entries.values():
            for check in entry.get("Checks", ())[1:] if isinstance(entry, dict) else ():
                check["ModifyIndex"] = self.index
        self._wake(service.waiters)
        for status, before in service.unwell.items():
            service.unwell[status] = self._in_state(service, status)
            if before != service.unwell[status]:
                self.unwell_index[status] = self.index
                self._wake(self.unwell_waiters[status])
        if not self.mute_checks:
            self._wake(self.checks_waiters)
        if names:
            self.names_index = self.index
            self._wake(self.names_waiters)

    @staticmethod
    def _in_state(service, status):
        return [dict(check) for entry in service.entries.values() if isinstance(entry, dict)
                for check in entry.get("Checks", ()) if check.get("Status") == status]

    def _wake(self, waiters):
        for waiter in list(waiters):
            self.loop.call_soon_threadsafe(lambda w=waiter: w.done() or w.set_result(None))
        waiters.clear()

    # --- life

    def _run(self):
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def _call(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20)

    async def _listen(self, port):
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        self.port = listening.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self.server = await asyncio.start_server(self._serve, sock=listening, limit=HEAD_MAX, backlog=1024)

    async def _close(self):
        if self.server:
            self.server.close()
            self.server = None
        for writer in list(self.writers):
            writer.transport.abort()

    def down(self):
        """Nobody listens any more and every connection is reset."""
        self._call(self._close())

    def up(self):
        self._call(self._listen(self.port))

    def drop_connections(self):
        """Reset them; new ones are welcome."""
        async def drop():
            for writer in list(self.writers):
                writer.transport.abort()
        self._call(drop())

    def stop(self):
        async def end():
            await self._close()
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self._call(end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(20)
        self.loop.close()

    # --- serving

    async def _serve(self, reader, writer):
        self.connections += 1
        self.writers.add(writer)
        try:
            if self.max_connections is not None and len(self.writers) > self.max_connections:
                self.refused += 1
                if self.refuse_with_429:
                    await self._send(writer, 429, b"Your IP is issuing too many concurrent connections", {})
                return
            while await self._serve_one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            self.writers.discard(writer)
            writer.close()

    async def _serve_one(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *fields = head.rstrip("\r\n").split("\r\n")
        _, target, _ = line.split(" ")
        url = urllib.parse.urlsplit(target)
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        fields = {name.lower(): value.strip() for name, _, value in (f.partition(":") for f in fields)}
        with self.lock:
            self.counts[url.path] = self.counts.get(url.path, 0) + 1
            if self.record:
                self.requests.append((url.path, query, fields.get("x-consul-token")))
        status, body, answer = await self._answer(urllib.parse.unquote(url.path), query,
                                                  fields.get("x-consul-token"))
        if self.hang:
            await asyncio.Event().wait()
        await self._send(writer, status, body, answer)
        return True

    async def _send(self, writer, status, body, fields):
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        writer.write(head.encode() + b"\r\n" + body)
        await writer.drain()

    async def _answer(self, path, query, token):
        if self.token is not None and token != self.token:
            return 403, b"Permission denied", {}
        parts = path.split("/")[2:]
        dc = query.get("dc", "dc1")
        if parts[:2] == ["health", "service"]:
            return await self._health(dc, parts[2], query)
        if parts == ["health", "state", "any"]:
            await self._wait(query, lambda: self.checks_index, self.checks_waiters)
            return 200, self._all_checks(dc), self._fields(self.checks_index)
        if parts[:2] == ["health", "state"] and parts[2] in self.unwell_index:
            status = parts[2]
            await self._wait(query, lambda: self.unwell_index[status], self.unwell_waiters[status])
            with self.lock:
                checks = [c for (d, _), s in self.services.items() if d == dc for c in s.unwell[status]]
            return 200, json.dumps(checks).encode(), self._fields(self.unwell_index[status])
        if parts == ["catalog", "services"]:
            await self._wait(query, lambda: self.names_index, self.names_waiters)
            names = {name: [] for (d, name), s in list(self.services.items()) if d == dc and s.entries}
            return 200, json.dumps(names).encode(), self._fields(self.names_index)
        if parts[0] == "query" and parts[1] in self.queries:
            dc, name = self.queries[parts[1]]
            nodes = list(self._service(dc, name).entries.values())
            return 200, json.dumps({"Service": name, "Nodes": nodes, "Datacenter": dc}).encode(), {}
        return 404, b"no such page", {}

    async def _wait(self, query, index_of, waiters):
        asked = int(query.get("index", "0"))
        deadline = time.monotonic() + self._seconds(query.get("wait", "5m"))
        while asked > 0 and index_of() <= asked:
            before = index_of()
            waiter = self.loop.create_future()
            waiters.add(waiter)
            try:
                await asyncio.wait_for(waiter, max(deadline - time.monotonic(), 0))
            except asyncio.TimeoutError:
                return
            finally:
                waiters.discard(waiter)
            if index_of() < before:
                return

    @staticmethod
    def _seconds(text):
        for unit, factor in (("ms", 0.001), ("s", 1), ("m", 60)):
            if text.endswith(unit):
                return float(text[:-len(unit)]) * factor
        raise ValueError(f"a wait without a unit: {text}")

    async def _health(self, dc, name, query):
        if name in self.failing:
            status, text = self.failing[name]
            return status, text.encode(), {}
        service = self._service(dc, name)
        await self._wait(query, lambda: service.index, service.waiters)
        with self.lock:
            fields = self._fields(service.index)
            if "cached" in query:
                fields.update({"X-Cache": "HIT", "Age": str(self.age or 0)})
            if name in self.failing:
                status, text = self.failing[name]
                return status, text.encode(), {}
            if name in self.hidden:
                return 200, b"[]", {**fields, "X-Consul-Results-Filtered-By-ACLs": "true"}
            if self.empty_next.get(name, 0) > 0 or (self.cached_empty and "cached" in query):
                self.empty_next[name] = self.empty_next.get(name, 0) - 1
                return 200, b"[]", fields
            if service.body is None:
                service.body = json.dumps(list(service.entries.values())).encode()
            return 200, service.body, fields

    def _fields(self, index):
        if self.index_header is not None:
            return {"X-Consul-Index": self.index_header} if self.index_header else {}
        return {"X-Consul-Index": str(max(index, 1)), "X-Consul-Knownleader": "true", "X-Consul-Lastcontact": "0"}

    def _all_checks(self, dc):
        """Only what has changed is encoded anew: beyond that it is one copy, however many there are."""
        with self.lock:
            nodes, pieces = {}, []
            for (datacenter, _), service in self.services.items():
                if datacenter != dc or not service.entries:
                    continue
                if service.checks is None:
                    service.checks = self._checks_of(service)
                nodes.update(service.checks[0])
                pieces += service.checks[1:]
            return b"[" + b",".join([*nodes.values(), *pieces]) + b"]"

    @staticmethod
    def _checks_of(service):
        """[{node: its own check}, those of the service if there are any], encoded."""
        checks = [c for entry in service.entries.values() for c in entry["Checks"]]
        own = [json.dumps(c).encode() for c in checks if c["ServiceName"]]
        nodes = {c["Node"]: json.dumps(c).encode() for c in checks if not c["ServiceName"]}
        return [nodes, b",".join(own)] if own else [nodes]


def obey(fake):
    """Do what lines of JSON on the standard input say ({"put": [...], "facts": {...}} for each), and say so."""
    for line in sys.stdin:
        with fake.lock:
            for change in json.loads(line):
                fake.put(*change["put"], **change["facts"])
        print("done", flush=True)


def main():
    parser = argparse.ArgumentParser(description="A fake Consul with many services whose endpoints change.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--services", type=int, default=5000)
    parser.add_argument("--endpoints", type=int, default=10, help="of each service")
    parser.add_argument("--changes", type=float, default=0, help="a second: one endpoint's weight each; "
                        "0: only those that lines on the standard input tell")
    options = parser.parse_args()
    fake = FakeConsul(options.port)
    fake.record = False
    for s in range(options.services):
        for e in range(options.endpoints):
            number = s * options.endpoints + e
            fake.put(f"service-{s}", f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}:8080",
                     ident=f"{s}-{e}", node=f"n{number % 1000}", tags=["prod"], meta={"version": "1"}, weights=(1, 1),
                     silent=True)
        fake.services["dc1", f"service-{s}"].index = fake.index
    print(fake.address, flush=True)
    if not options.changes:
        obey(fake)
        return
    for turn in itertools.count(1):
        time.sleep(1 / options.changes)
        number = turn * 7919 % (options.services * options.endpoints)
        s, e = divmod(number, options.endpoints)
        fake.put(f"service-{s}", f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}:8080", ident=f"{s}-{e}",
                 node=f"n{number % 1000}", tags=["prod"], meta={"version": "1"}, weights=(1 + turn % 100, 1))


if __name__ == "__main__":
    main()
