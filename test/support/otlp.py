"""A collector for traces: takes OTLP over HTTP and decodes it with the real protobuf library.

The messages are described by the names and numbers of opentelemetry-proto; a field that is not
among them, or has another type, fails the test.
"""

import threading

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from raw import wait_until
from upstream import Upstream

FIELD = descriptor_pb2.FieldDescriptorProto
TYPES = {"string": FIELD.TYPE_STRING, "bytes": FIELD.TYPE_BYTES, "bool": FIELD.TYPE_BOOL, "int64": FIELD.TYPE_INT64,
         "double": FIELD.TYPE_DOUBLE, "uint32": FIELD.TYPE_UINT32, "fixed32": FIELD.TYPE_FIXED32,
         "fixed64": FIELD.TYPE_FIXED64, "enum": FIELD.TYPE_INT32}

# message: field number: (name, type); "*" repeats
MESSAGES = {
    "AnyValue": {1: ("string_value", "string"), 2: ("bool_value", "bool"), 3: ("int_value", "int64"),
                 4: ("double_value", "double"), 5: ("array_value", "ArrayValue"), 7: ("bytes_value", "bytes")},
    "ArrayValue": {1: ("values", "*AnyValue")},
    "KeyValue": {1: ("key", "string"), 2: ("value", "AnyValue")},
    "InstrumentationScope": {1: ("name", "string"), 2: ("version", "string"), 3: ("attributes", "*KeyValue"),
                             4: ("dropped_attributes_count", "uint32")},
    "Resource": {1: ("attributes", "*KeyValue"), 2: ("dropped_attributes_count", "uint32")},
    "Status": {2: ("message", "string"), 3: ("code", "enum")},
    "Event": {1: ("time_unix_nano", "fixed64"), 2: ("name", "string"), 3: ("attributes", "*KeyValue"),
              4: ("dropped_attributes_count", "uint32")},
    "Link": {1: ("trace_id", "bytes"), 2: ("span_id", "bytes"), 3: ("trace_state", "string"),
             4: ("attributes", "*KeyValue"), 5: ("dropped_attributes_count", "uint32"), 6: ("flags", "fixed32")},
    "Span": {1: ("trace_id", "bytes"), 2: ("span_id", "bytes"), 3: ("trace_state", "string"),
             4: ("parent_span_id", "bytes"), 5: ("name", "string"), 6: ("kind", "enum"),
             7: ("start_time_unix_nano", "fixed64"), 8: ("end_time_unix_nano", "fixed64"),
             9: ("attributes", "*KeyValue"), 10: ("dropped_attributes_count", "uint32"), 11: ("events", "*Event"),
             12: ("dropped_events_count", "uint32"), 13: ("links", "*Link"), 14: ("dropped_links_count", "uint32"),
             15: ("status", "Status"), 16: ("flags", "fixed32")},
    "ScopeSpans": {1: ("scope", "InstrumentationScope"), 2: ("spans", "*Span"), 3: ("schema_url", "string")},
    "ResourceSpans": {1: ("resource", "Resource"), 2: ("scope_spans", "*ScopeSpans"), 3: ("schema_url", "string")},
    "ExportTraceServiceRequest": {1: ("resource_spans", "*ResourceSpans")},
    "ExportTracePartialSuccess": {1: ("rejected_spans", "int64"), 2: ("error_message", "string")},
    "ExportTraceServiceResponse": {1: ("partial_success", "ExportTracePartialSuccess")},
}

SERVER, CLIENT = 2, 3


def _classes():
    file = descriptor_pb2.FileDescriptorProto(name="otlp.proto", package="otlp", syntax="proto3")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, (field_name, kind) in fields.items():
            field = message.field.add(name=field_name, number=number, label=FIELD.LABEL_OPTIONAL)
            if kind.startswith("*"):
                field.label, kind = FIELD.LABEL_REPEATED, kind[1:]
            field.type = TYPES.get(kind, FIELD.TYPE_MESSAGE)
            if kind in MESSAGES:
                field.type_name = f".otlp.{kind}"
        if name == "AnyValue":
            message.oneof_decl.add(name="value")
            for field in message.field:
                field.oneof_index = 0
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    factory = message_factory.MessageFactory(pool)
    return {name: factory.GetPrototype(pool.FindMessageTypeByName(f"otlp.{name}")) for name in MESSAGES}


OTLP = _classes()


def value_of(any_value):
    """An AnyValue as Python has it."""
    kind = any_value.WhichOneof("value")
    assert kind, any_value
    if kind == "array_value":
        return [value_of(one) for one in any_value.array_value.values]
    return getattr(any_value, kind)


def attributes_of(pairs):
    names = [pair.key for pair in pairs]
    assert len(names) == len(set(names)), f"attributes twice: {names}"
    return {pair.key: value_of(pair.value) for pair in pairs}


class Span:
    """One span, with its resource."""

    def __init__(self, resource, message):
        self.resource = resource
        self.name, self.kind, self.flags = message.name, message.kind, message.flags
        assert len(message.trace_id) == 16 and len(message.span_id) == 8, message
        assert len(message.parent_span_id) in (0, 8), message
        self.trace, self.id = message.trace_id.hex(), message.span_id.hex()
        self.parent, self.state = message.parent_span_id.hex(), message.trace_state
        self.begun_ns, self.ended_ns = message.start_time_unix_nano, message.end_time_unix_nano
        assert self.begun_ns <= self.ended_ns, message
        self.status = message.status.code
        self.attributes = attributes_of(message.attributes)

    def __repr__(self):
        return f"Span({self.name!r}, {self.kind}, {self.trace}/{self.id} under {self.parent or '-'}, {self.attributes})"


class Collector:
    """Takes spans at /v1/traces. `script` answers an exchange whose body has been read; else 200."""

    def __init__(self):
        self.lock = threading.Lock()
        self.taken = []
        self.problems = []
        self.script = None
        self.upstream = Upstream(self._serve)

    @property
    def url(self):
        return f"http://{self.upstream.address}/v1/traces"

    def _decode(self, exchange):
        assert exchange.method == "POST" and exchange.path == "/v1/traces", exchange.request_line
        assert exchange.get("content-type") == "application/x-protobuf"
        message = OTLP["ExportTraceServiceRequest"].FromString(exchange.body)
        size = message.ByteSize()
        message.DiscardUnknownFields()
        assert message.ByteSize() == size, "fields that the protocol does not know"
        spans = []
        for resource in message.resource_spans:
            attributes = attributes_of(resource.resource.attributes)
            for scope in resource.scope_spans:
                assert scope.scope.name
                spans += [Span(attributes, span) for span in scope.spans]
        assert spans
        return spans

    def _serve(self, exchange):
        exchange.read_body()
        try:
            spans = self._decode(exchange)
        except Exception as problem:
            self.problems.append(problem)
            raise
        if self.script and self.script(exchange, spans):
            return
        with self.lock:
            self.taken += spans
        exchange.reply(200, b"", [("Content-Type", "application/x-protobuf")])

    def spans(self, **where):
        """Those taken so far whose members have these values."""
        assert not self.problems, self.problems
        with self.lock:
            return [span for span in self.taken if all(getattr(span, k) == v for k, v in where.items())]

    def wait(self, count=1, **where):
        wait_until(lambda: len(self.spans(**where)) >= count, what=f"{count} spans with {where}; there are {self.spans()}")
        return self.spans(**where)

    def stop(self):
        self.upstream.stop()
        assert not self.problems, self.problems
