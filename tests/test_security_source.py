"""No line of the product does what SECURITY.md says that it never does: read from its source."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
SOURCES = {
    path.relative_to(ROOT / "python").as_posix(): path for path in sorted((ROOT / "python").rglob("*.py"))
}
RAY_TRANSPORT = {"tasksel/ray_stage.py", "tasksel/ray_actor.py"}
"""What a driver and its own workers send each other; Ray itself pickles all of it once more."""
FORBIDDEN_MODULES = {
    "cPickle", "cloudpickle", "dill", "joblib", "jsonpickle", "marshal", "pickle", "shelve",
    "yaml", "xml.dom", "xml.etree", "xml.sax", "lxml", "defusedxml", "plistlib",
    "tarfile", "zipfile", "shutil.unpack_archive", "gzip", "bz2", "lzma", "zstandard",
    "requests", "httpx", "aiohttp", "urllib3", "ftplib", "smtplib", "telnetlib", "socketserver", "xmlrpc",
}  # fmt: skip
"""Deserialisers that run code, parsers of XML and of archives, and ways to the network that are not ours."""
ALLOWED_MODULES = {
    "xml.sax.saxutils": {"tasksel/annotation/label_studio_config.py"},  # quotes attributes; parses nothing
    "pickle": RAY_TRANSPORT,
    "ray.cloudpickle": RAY_TRANSPORT,
}
NETWORK_MODULES = {"http.client", "urllib.request", "ssl", "socket"}
NETWORK = {
    "tasksel/endpoint.py",  # names of errors alone
    "tasksel/endpoint_connection.py",
    "tasksel/endpoint_deadline.py",
    "tasksel/annotation/label_studio_client.py",  # as endpoint.py
}
SUBPROCESSES = {"tasksel/synthesis/probe_program.py"}
FORBIDDEN_CALLS = {
    "eval", "exec", "compile", "__import__", "breakpoint",
    "os.system", "os.popen", "os.execv", "os.execvp", "os.spawnl", "os.startfile", "os.chmod", "os.umask",
    "tempfile.mktemp", "tempfile.NamedTemporaryFile",
    "ssl._create_unverified_context", "urllib.request.urlopen", "urllib.request.urlretrieve",
    "numpy.fromfile", "np.fromfile", "pl.read_excel", "pl.read_database",
    "torch.load", "torch.hub.load", "pd.read_pickle",
}  # fmt: skip
"""Calls that no module has. `tempfile.TemporaryFile` has no name, `TemporaryDirectory` one to guess."""


class Call(NamedTuple):
    """A call in a source file."""

    file: str
    line: int
    name: str
    keywords: dict


def name_of(node):
    """Give ``a.b.c`` of a name or attribute; of anything else what follows its last dot."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return ""


def read_sources():
    """Give every call and every import of the product."""
    calls, imports = [], []
    for file, path in SOURCES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                keywords = {each.arg: each.value for each in node.keywords if each.arg}
                calls.append(Call(file, node.lineno, name_of(node.func), keywords))
            elif isinstance(node, ast.Import):
                imports += [(file, alias.name) for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                imports += [
                    (file, node.module),
                    *((file, f"{node.module}.{each.name}") for each in node.names),
                ]
    return calls, imports


CALLS, IMPORTS = read_sources()


def literal(node):
    return node.value if isinstance(node, ast.Constant) else ast.unparse(node)


def is_below(name, module):
    return name == module or name.startswith(f"{module}.")


def test_there_is_something_to_read():
    assert len(SOURCES) > 400
    assert len(CALLS) > 10_000


def test_no_module_that_runs_what_it_reads_or_parses_what_can_explode():
    allowed = {(file, name) for name, files in ALLOWED_MODULES.items() for file in files}
    found = {
        (file, name) for file, name in IMPORTS if any(is_below(name, module) for module in FORBIDDEN_MODULES)
    }
    assert not [
        (file, name) for file, name in found if not any(file == f and is_below(name, n) for f, n in allowed)
    ]


def test_one_place_speaks_to_the_network():
    speakers = {file for file, name in IMPORTS if any(is_below(name, each) for each in NETWORK_MODULES)}
    assert speakers <= NETWORK


def test_programs_are_started_in_one_place_and_without_a_shell():
    assert {file for file, name in IMPORTS if is_below(name, "subprocess")} == SUBPROCESSES
    assert not [
        call for call in CALLS if "shell" in call.keywords and literal(call.keywords["shell"]) is not False
    ]
    started = [call for call in CALLS if call.name.startswith("subprocess.")]
    assert [call.name for call in started] == ["subprocess.Popen"]
    assert {"env", "stdin"} <= started[0].keywords.keys()


def test_no_call_that_is_forbidden():
    assert not [call for call in CALLS if call.name in FORBIDDEN_CALLS]


def test_modules_are_imported_by_names_of_ours_alone():
    """An engine stands in a table, jsonschema has no types; others come as entry points, which are code."""
    assert {call.file for call in CALLS if call.name == "importlib.import_module"} == {
        "tasksel/engines/request.py",
        "tasksel/synthesis/item_schema.py",
    }
    loaded = {call.file for call in CALLS if call.name.endswith("entry_points")}
    assert loaded == {"tasksel/strategies/registry.py"}


def test_arrays_are_read_without_objects():
    calls = [call for call in CALLS if call.name in ("np.load", "np.save", "numpy.load", "numpy.save")]
    assert {call.name for call in calls} == {"np.load", "np.save"}
    assert not [
        call for call in calls if literal(call.keywords.get("allow_pickle", ast.Constant(None))) is not False
    ]


def test_no_code_of_a_model_is_trusted():
    text = {file: path.read_text(encoding="utf-8") for file, path in SOURCES.items()}
    said = {file: re.findall(r"trust_remote_code\W{1,4}(\w+)", each) for file, each in text.items()}
    assert {value for values in said.values() for value in values} <= {"False", "so", "is", "None"}
    loaders = [call for call in CALLS if call.name.endswith(".from_pretrained")]
    kinds = ("AutoConfig", "AutoTokenizer", "AutoModel", "AutoModelForCausalLM")
    for call in loaders:
        if call.name.split(".")[0] in kinds:
            assert "trust_remote_code" in call.keywords, call


def test_weights_are_safetensors():
    weights = [call for call in CALLS if re.fullmatch(r"AutoModel\w*\.from_pretrained", call.name)]
    assert weights
    assert all(literal(call.keywords["use_safetensors"]) is True for call in weights)


def test_certificates_are_verified_and_nothing_switches_that_off():
    assert not [call for call in CALLS if "verify" in call.keywords]
    attributes = re.compile(
        r"check_hostname|verify_mode|CERT_NONE|_create_default_https_context|PYTHONHTTPSVERIFY"
    )
    assert not [file for file, path in SOURCES.items() if attributes.search(path.read_text(encoding="utf-8"))]
    contexts = [call for call in CALLS if call.name.startswith("ssl.")]
    assert [call.name for call in contexts] == ["ssl.create_default_context"]


def test_everything_that_waits_for_a_server_has_a_time():
    openers = [call for call in CALLS if call.name.endswith("opener.open")]
    connections = [call for call in CALLS if re.fullmatch(r"_Https?Connection", call.name)]
    assert len(openers) == 1
    assert len(connections) == 2
    assert all("timeout" in call.keywords for call in [*openers, *connections])


def test_keys_come_from_the_environment_alone():
    """No flag and no setting takes a key: only names of variables."""
    flags = {
        flag
        for path in SOURCES.values()
        for flag in re.findall(r'"(--[a-z-]+)"', path.read_text(encoding="utf-8"))
    }
    assert not {flag for flag in flags if re.search(r"key$|token$|secret|password|api-key", flag)}


def test_rules_of_ruff_for_security_are_on_and_exceptions_have_reasons():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert re.search(r'^select = \[.*"S"', text, flags=re.MULTILINE)
    exceptions = {
        (file, code)
        for file, path in SOURCES.items()
        for code in re.findall(r"noqa: (S\d+)", path.read_text(encoding="utf-8"))
    }
    assert {code for _, code in exceptions} <= {"S101", "S104", "S107", "S301", "S310", "S603"}
    assert {file for file, code in exceptions if code == "S301"} <= RAY_TRANSPORT
