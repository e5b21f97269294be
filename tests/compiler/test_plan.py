import hashlib
import json
from dataclasses import fields

import pytest
from generated_networks import networks
from hypothesis import HealthCheck, given, settings

import lnet
from lnet.compiler.core.layer import Parameter
from lnet.compiler.objectives import TERMS
from lnet.compiler.ops import OPS
from lnet.compiler.pipeline import compile_text
from lnet.compiler.plan.plan import CODEC, plan_from_json
from lnet.compiler.rules import RULES
from lnet.dsl.diagnostics import LnetError

TEXT = "network n { image: input(9x9x1); f: local(3, 2); p: l2pool(2); learn: rica() }\n"


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(networks())
def test_a_plan_survives_json(text):
    plan = compile_text(text)
    again = plan_from_json(plan.to_json())
    assert again == plan
    assert again.digest == plan.digest
    assert again.to_json() == plan.to_json()


def test_a_plan_survives_a_file(tmp_path):
    plan = lnet.compile(lnet.parse(TEXT), workers=4, replicas=2)
    plan.save(tmp_path / "n.plan")
    assert lnet.load_plan(tmp_path / "n.plan") == plan


def test_compiling_twice_gives_the_same_digest():
    assert compile_text(TEXT).digest == compile_text(TEXT).digest
    assert compile_text(TEXT).digest != compile_text(TEXT.replace("f: local(3, 2)", "f: local(3, 3)")).digest


def damaged(change):
    data = json.loads(compile_text(TEXT).to_json())
    change(data)
    return json.dumps(data)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not a plan"),
        ("[" * 100_000, "is not a plan"),
        ("[]", "it has no field 'lnet plan'"),
        (damaged(lambda d: d.update({"lnet plan": 99})), "has format 99"),
        (damaged(lambda d: d.update(digest="0")), "its digest does not match"),
        (damaged(lambda d: d["plan"].pop("graph")), "is damaged"),
        (
            damaged(lambda d: d["plan"]["graph"]["layers"][0]["op"].update(kind="exec")),
            "no such kind: 'exec'",
        ),
        (damaged(lambda d: d["plan"]["graph"]["layers"][1].update(reads=3)), "is damaged"),
        (damaged(lambda d: d["plan"]["graph"]["training"].update(batch="9")), "is damaged"),
        (damaged(lambda d: d["plan"]["partition"].update(pieces=[[1]])), "is damaged"),
        (
            damaged(lambda d: d["plan"]["graph"].update(derived="f")),
            "plan.graph.derived: expected a list, found str",
        ),
        (
            damaged(lambda d: d["plan"]["graph"]["training"]["update"].update(kind="lbfgs")),
            "graph.training.update: no such kind: 'lbfgs'",
        ),
    ],
)
def test_what_is_no_plan(text, message):
    with pytest.raises(LnetError) as caught:
        plan_from_json(text, "x.plan")
    assert "E605" in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "rule", ["adagrad(rate = 0.5, initial = 2)", "sgd(0.5, momentum = 0.9)", "adam(0.5)"]
)
def test_an_update_rule_of_an_older_plan_keeps_its_own_numbers(rule):
    plan = compile_text(f"{TEXT} train {{ update = {rule} }}")
    data = json.loads(plan.to_json())
    new = data["plan"]["graph"]["training"]["update"]
    old = {"momentum": 0.9, "initial": 2.0, "rule": new["kind"]} | new
    data["plan"]["graph"]["training"]["update"] = {name: old[name] for name in old if name != "kind"}
    text = json.dumps(data["plan"], sort_keys=True, separators=(",", ":"))
    older = data | {"lnet plan": 4, "digest": hashlib.sha256(text.encode()).hexdigest()}
    assert plan_from_json(json.dumps(older)).graph == plan.graph


def without_defaults(data):
    """The data of a plan in which ops, terms, rules and parameters lack the fields that have their defaults."""
    if isinstance(data, list):
        return [without_defaults(item) for item in data]
    if not isinstance(data, dict):
        return data
    made = next((table[data["kind"]] for table in (OPS, TERMS, RULES) if data.get("kind") in table), None)
    made = Parameter if "fan_in" in data else made
    defaults = {field.name: field.default for field in fields(made)} if made else {}
    return {
        name: without_defaults(value)
        for name, value in data.items()
        if name not in defaults or CODEC.encode(defaults[name]) != value
    }


def test_fields_that_an_older_plan_lacks_have_their_defaults():
    data = json.loads(compile_text(f"{TEXT} train {{ update = sgd(0.5) }}").to_json())
    plan = without_defaults(data["plan"])
    assert "momentum" not in plan["graph"]["training"]["update"]
    assert "init" not in plan["graph"]["layers"][1]["parameters"][0]
    text = json.dumps(plan, sort_keys=True, separators=(",", ":"))
    older = data | {"lnet plan": 7, "plan": plan, "digest": hashlib.sha256(text.encode()).hexdigest()}
    assert plan_from_json(json.dumps(older)) == plan_from_json(json.dumps(data))


def test_functions_of_an_older_plan_were_names():
    text = "network n { image: input(9x9x1); f: local(3, 2, stride = 2, act = relu); t: tanh(); d: dense(5, act = sigmoid); q: l2() }"
    plan = compile_text(text)
    data = json.loads(plan.to_json())
    for layer in data["plan"]["graph"]["layers"]:
        op = layer["op"]
        if "act" in op:
            op["act"] = op["act"]["kind"]
        if op["kind"] == "tanh":
            op.update(kind="pointwise", function="tanh")
    text = json.dumps(data["plan"], sort_keys=True, separators=(",", ":"))
    older = data | {"lnet plan": 9, "digest": hashlib.sha256(text.encode()).hexdigest()}
    assert plan_from_json(json.dumps(older)) == plan


def test_the_dense_layers_of_an_older_plan_are_cut_anew():
    text = "network n { image: input(9x9x1); f: local(3, 2); d: dense(5); q: l2() }"
    plan = lnet.compile(lnet.parse(text), workers=4)
    data = json.loads(plan.to_json())
    partition = data["plan"]["partition"]
    partition["pieces"] = [
        [piece for piece in pieces if " " not in piece["layer"]] for pieces in partition["pieces"]
    ]
    text = json.dumps(data["plan"], sort_keys=True, separators=(",", ":"))
    older = data | {"lnet plan": 5, "digest": hashlib.sha256(text.encode()).hexdigest()}
    assert plan_from_json(json.dumps(older)).partition == plan.partition


def test_a_failed_save_leaves_the_old_plan(tmp_path, monkeypatch):
    target = tmp_path / "n.plan"
    compile_text(TEXT).save(target)
    before = target.read_text()

    def broken(*arguments):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", broken)
    with pytest.raises(LnetError, match="E608"):
        compile_text(TEXT.replace("2)", "5)")).save(target)
    assert target.read_text() == before
    assert list(tmp_path.iterdir()) == [target]
