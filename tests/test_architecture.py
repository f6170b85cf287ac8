from __future__ import annotations

import ast
import graphlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PRODUCT = ROOT / "python" / "tasksel"
CORE = ROOT / "python" / "tasksel_core"
MODEL_LIBRARIES = {"accelerate", "peft", "ray", "tokenizers", "torch", "transformers"}
EMPTY_NAMES = {"base", "common", "helper", "helpers", "manager", "misc", "util", "utils"}


def read_layers():
    """Read the dependency rule where people read it; the top line has the highest number."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    lines = re.search(r"^```layers\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL).group(1).splitlines()
    return {name: level for level, line in enumerate(reversed(lines)) for name in line.split(", ")}


LAYERS = read_layers()
MODULES = {
    ".".join(path.relative_to(PRODUCT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PRODUCT.rglob("*.py"))
}


def noun_of(module):
    """Give the module of the list that `module` is, or is a part of: ``pool_csv`` belongs to ``pool``."""
    name = module.split(".")[0]
    while name not in LAYERS and "_" in name:
        name = name.rpartition("_")[0]
    return name if name in LAYERS else None


def imports_of(path):
    """Give every module that a file imports anywhere, functions and type-checking blocks included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = path.relative_to(ROOT / "python").parent.parts
            start = package[: len(package) + 1 - node.level] if node.level else ()
            module = ".".join(filter(None, (*start, node.module)))
            # `from tasksel import terminal` imports the module tasksel.terminal.
            yield from (f"{module}.{alias.name}" for alias in node.names)
            yield module


def product_imports(path):
    """Give the modules of tasksel, and tasksel_core itself, that a file imports."""
    for name in imports_of(path):
        first, _, rest = name.partition(".")
        if first == "tasksel_core":
            yield first
        elif first == "tasksel":
            yield from [".".join(rest.split(".")[:depth]) for depth in (2, 1) if is_module(rest, depth)][:1]


def is_module(dotted, depth):
    """Whether the first `depth` names of a path in tasksel are a module and not something inside one."""
    return dotted.count(".") >= depth - 1 and ".".join(dotted.split(".")[:depth]) in MODULES


@pytest.mark.parametrize("module", [name for name in MODULES if name != "__init__"])
def test_a_module_imports_only_from_layers_below(module):
    noun = noun_of(module)
    assert noun, (
        f"tasksel.{module} is in no layer: name it in the dependency rule of ARCHITECTURE.md, in the lowest "
        "line that stands above everything that it imports."
    )
    for imported in product_imports(MODULES[module]):
        below = noun_of(imported)
        assert below, f"tasksel.{imported} is in no layer of ARCHITECTURE.md"
        is_part = below == noun
        assert is_part or LAYERS[below] < LAYERS[noun], (
            f"tasksel.{module} imports {imported}, which is not in a layer below its own."
        )


def test_no_two_modules_import_each_other():
    graph = {
        name: set(product_imports(path)) - {name} for name, path in MODULES.items() if name != "__init__"
    }
    tuple(graphlib.TopologicalSorter(graph).static_order())


def test_the_dependency_rule_names_only_modules_that_exist_somewhere():
    """A renamed module must be renamed in ARCHITECTURE.md too."""
    nouns = {noun_of(module) for module in MODULES}
    missing = sorted(LAYERS.keys() - nouns - {"tasksel_core"})
    assert not missing, f"ARCHITECTURE.md has layers for modules that do not exist: {', '.join(missing)}"


def test_the_map_names_every_module():
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    unnamed = [name for name in sorted(set(map(noun_of, MODULES)) - {None, "__main__"}) if name not in text]
    assert not unnamed


def test_the_kernels_package_knows_nothing_of_the_product():
    for path in CORE.rglob("*.py"):
        roots = {name.partition(".")[0] for name in imports_of(path)}
        assert not roots & ({"tasksel", "polars", "rich", "typer"} | MODEL_LIBRARIES), path


def is_type_checking(node):
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def imports_at_import_time(node):
    """Give the top names imported when the module is: not in functions, not for type checkers only."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield (child.module or "").partition(".")[0] if not child.level else ""
        elif is_type_checking(child):
            for other in child.orelse:
                yield from imports_at_import_time(other)
        elif not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield from imports_at_import_time(child)


@pytest.mark.parametrize("path", sorted((ROOT / "python").rglob("*.py")), ids=lambda path: path.stem)
def test_no_module_imports_a_model_library_when_it_is_imported(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not set(imports_at_import_time(tree)) & MODEL_LIBRARIES


def test_modules_are_named_after_what_they_hold():
    sources = [
        *(ROOT / "python").rglob("*.py"),
        *(ROOT / "rust").rglob("*.rs"),
        *(ROOT / "tests").rglob("*.py"),
    ]
    bad = [path for path in sources if set(path.stem.lower().split("_")) & EMPTY_NAMES]
    assert not bad, f"{bad[0]} has a name that says nothing"


def rust_code(path):
    """Give a Rust file without comments and string literals, which may say anything."""
    text = path.read_text(encoding="utf-8")
    return re.sub(r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\])*\"", "", text, flags=re.DOTALL)


def test_unsafe_code_stands_in_simd_and_its_parts_alone():
    holders = [path for path in (ROOT / "rust").rglob("*.rs") if re.search(r"\bunsafe\b", rust_code(path))]
    assert [path for path in holders if path.name != "simd.rs" and "simd" not in path.parts] == []


def test_only_the_binding_names_pyo3_and_numpy():
    for manifest in (ROOT / "rust").rglob("Cargo.toml"):
        names = set(
            re.findall(r"^(?:dependencies\.)?(pyo3|numpy)\b", manifest.read_text("utf-8"), re.MULTILINE)
        )
        assert names == ({"pyo3", "numpy"} if manifest.parent.name == "python" else set()), manifest
    for path in (ROOT / "rust" / "core").rglob("*.rs"):
        assert not re.search(r"\b(pyo3|numpy)::", rust_code(path)), path
