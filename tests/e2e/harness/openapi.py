"""Checks real requests and real replies against the OpenAPI document that the daemon serves."""

import json
import re

from .api import Api


class Document:
    def __init__(self, document):
        import jsonschema
        self.document = document
        self.resolver = jsonschema.RefResolver.from_schema(document)
        self.validator = jsonschema.Draft202012Validator
        self.seen = set()   # (method, path template, status)
        self.answers = {}   # (method, path template, status) -> the successful ones, as JSON
        self.paths = [(template, re.compile(re.sub(r"\{[^}]+\}", "[^/]+", template) + "$"), item)
                      for template, item in sorted(document["paths"].items(), key=lambda entry: "{" in entry[0])]

    def resolve(self, node):
        while "$ref" in node:
            _, node = self.resolver.resolve(node["$ref"])
        return node

    def operations(self):
        methods = ("get", "put", "post", "delete", "patch", "head")
        return {(method.upper(), template) for template, _, item in self.paths for method in methods if method in item}

    def find(self, method, path):
        path = path.split("?")[0]
        for template, pattern, item in self.paths:
            if pattern.match(path):
                return template, item.get(method.lower())
        return None, None

    def faults(self, schema, value):
        validator = self.validator(schema, resolver=self.resolver)
        return [f"{'/'.join(map(str, error.absolute_path))}: {error.message[:300]}" for error in validator.iter_errors(value)]

    def check(self, method, path, body, content_type, reply):
        """Deviations of this exchange from the document, one line each."""
        template, operation = self.find(method, path)
        if not operation:
            return [] if reply.status in (404, 405) else [f"{method} {path} is {reply.status} and not in the document"]
        self.seen.add((method, template, reply.status))
        responses = operation["responses"]
        found = responses.get(str(reply.status)) or responses.get(f"{reply.status // 100}XX") or responses.get("default")
        if not found:
            return [f"{method} {template}: status {reply.status} is not in the document"]
        where = f"{method} {template} {reply.status}"
        if reply.status < 300 and method != "HEAD" and reply.headers.get("Content-Type") == "application/json":
            self.answers.setdefault((method, template, str(reply.status)), []).append(reply.json)
        faults = self._check_reply(self.resolve(found), reply) if method != "HEAD" else []
        if reply.status < 400 and body is not None:
            faults += self._check_request(operation, body, content_type)
        return [f"{where}: {fault}" for fault in faults]

    def examples(self):
        """((method, path template, status), an example of such a successful answer) for each."""
        for template, _, item in self.paths:
            for method, operation in item.items():
                for status, response in operation.get("responses", {}).items() if "operationId" in operation else ():
                    content = self.resolve(response).get("content", {}).get("application/json", {})
                    examples = [self.resolve(one)["value"] for one in content.get("examples", {}).values()]
                    for example in examples + ([content["example"]] if "example" in content else []):
                        yield (method.upper(), template, status), example

    def _check_reply(self, response, reply):
        content = response.get("content")
        if not content:
            return [f"a body of {len(reply.body)} bytes where none is documented"] if reply.body else []
        kind = reply.headers.get("Content-Type", "").split(";")[0]
        if kind not in content:
            return [f"content type {kind!r} is not in the document"]
        if not kind.endswith("json") or "schema" not in content[kind]:
            return []
        return self.faults(content[kind]["schema"], reply.json)

    def _check_request(self, operation, body, content_type):
        if "requestBody" not in operation:
            return ["a request body is accepted that is not documented"]
        content = self.resolve(operation["requestBody"])["content"]
        if content_type not in content:
            return [f"request content type {content_type!r} is not in the document"]
        if not content_type.endswith("json"):
            return []
        value = json.loads(body) if isinstance(body, (str, bytes)) else body
        return ["request: " + fault for fault in self.faults(content[content_type]["schema"], value)]


def differences(example, real, where=""):
    """How the members of an example are others than those of a real answer; whatever they are called in `labels` and `options`."""
    if isinstance(example, dict) and isinstance(real, dict):
        if where.rsplit("/", 1)[-1] in ("labels", "options"):
            return []
        there = [f"{where}/{name} is only in the {side}" for side, one, other in (("example", example, real), ("answer", real, example))
                 for name in one.keys() - other.keys()]
        return there + [fault for name in example.keys() & real.keys() for fault in differences(example[name], real[name], f"{where}/{name}")]
    if isinstance(example, list) and isinstance(real, list):
        return differences(example[0], real[0], f"{where}/0") if example and real else []
    kinds = {type(value) if not isinstance(value, (int, float)) or isinstance(value, bool) else float for value in (example, real)} - {type(None)}
    return [f"{where}: {example!r} is no {type(real).__name__}"] if len(kinds) > 1 else []


class CheckedApi(Api):
    """A client that collects every exchange that does not match the document in `faults`."""

    def __init__(self, api, document):
        super().__init__(api._connect, api._headers)
        self.document, self.faults = document, []

    def request(self, method, path, body=None, content_type="application/json", headers=None):
        reply = super().request(method, path, body, content_type, headers)
        self.faults += self.document.check(method, path, body, content_type, reply)
        return reply
