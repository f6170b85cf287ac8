"""Runs in an environment with Argilla's SDK: reads an export by its own classes, answers, and exports.

    python argilla_annotators.py argilla FOLDER OUT    answers.json -> flat.json, nested.json
    python argilla_annotators.py server FOLDER OUT     answers.json -> records.json, by ARGILLA_URL
    python argilla_annotators.py datasets FOLDER OUT   answers.json -> back.parquet, saved/

The classes that make, check and write records need no server.
"""

import json
import os
import sys
import uuid
import warnings
from pathlib import Path
from unittest.mock import MagicMock

folder, out = Path(sys.argv[2]), Path(sys.argv[3])
answers = json.loads((out / "answers.json").read_text("utf-8"))
ANN = "11111111-1111-4111-8111-111111111111"


def with_argilla():
    import argilla
    import argilla.client
    from argilla.records._io import GenericIO, JsonIO

    argilla.client.Argilla._get_default = classmethod(lambda cls: MagicMock())
    settings = argilla.Settings.from_json(folder / ".argilla" / "settings.json")
    settings.validate()
    model = argilla.Dataset._load_dataset_model(folder / ".argilla" / "dataset.json")
    dataset = argilla.Dataset(name=model.name, settings=settings, client=MagicMock())
    records = JsonIO._records_from_json(folder / "records.json")
    sent = [each.model_dump(mode="json") for each in dataset.records._ingest_records(records)]
    for record in records:
        status, response = answers[record.id]
        if status is not None:
            said = (
                {"response": response, "verdict": "rejected"}
                if status == "rejected"
                else {"response": response}
            )
            status = "discarded" if status == "rejected" else status
            for question, value in said.items():
                record.responses.add(argilla.Response(question, value, user_id=uuid.UUID(ANN), status=status))
            record._model.status = "completed" if status == "submitted" else "pending"
    (out / "flat.json").write_text(json.dumps(GenericIO.to_list(records, flatten=True)), "utf-8")
    JsonIO.to_json(records, out / "nested.json")
    return {"sent": sent, "questions": [each.name for each in settings.questions], "name": model.name}


def with_server():
    """The block of docs/annotation, with answers over the API in the place of annotators."""
    import argilla

    client = argilla.Argilla(api_url=os.environ["ARGILLA_URL"], api_key=os.environ["ARGILLA_KEY"])
    for _ in range(2):  # the second time adds nothing
        dataset = argilla.Dataset.from_disk(str(folder), workspace="argilla", client=client)
    suggested = {}
    for record in dataset.records(with_suggestions=True):
        suggested[record.id] = [each.value for each in record.suggestions]
        status, response = answers[record.id]
        if status is not None:
            values = (
                {"verdict": {"value": "rejected"}}
                if status == "rejected"
                else {"response": {"value": response}}
            )
            status = "discarded" if status == "rejected" else status
            said = {"status": status, "values": values if response else None}
            reply = client.http_client.post(f"/api/v1/records/{record._server_id}/responses", json=said)
            reply.raise_for_status()
    records, page = [], True
    while page:
        query = {"include": "responses", "offset": len(records), "limit": 2}
        page = client.http_client.get(f"/api/v1/datasets/{dataset.id}/records", params=query).json()["items"]
        records += page
    (out / "records.json").write_text(json.dumps(records), "utf-8")
    return {"suggested": suggested, "records": len(records)}


def with_datasets():
    import datasets

    loaded = datasets.load_dataset(str(folder), split="train", cache_dir=str(out / "cache"))
    rows = loaded.to_list()
    filled = loaded.map(lambda row: {"response": answers[row["id"]][1]}, load_from_cache_file=False)
    filled.to_parquet(str(out / "back.parquet"))
    filled.save_to_disk(str(out / "saved"))
    return {"rows": rows, "features": {name: each.dtype for name, each in loaded.features.items()}}


warnings.simplefilter("ignore")
made = {"argilla": with_argilla, "server": with_server, "datasets": with_datasets}[sys.argv[1]]()
(out / "made.json").write_text(json.dumps(made, default=str), "utf-8")
