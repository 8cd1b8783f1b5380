"""# Tariff offers

Two DAGs. **`scoring_train`** runs once a week:

1. `train` makes the reference linear model and the production model (boosted trees as ONNX) in the directory of candidates, from
   simulated files unless both are given;
2. `validate` reads both models as they are written and checks the bars: no target more than 1.03 times as bad as the linear model,
   the cost within its own bar. A model that misses one ends the run here;
3. `promote` puts the production model in the place of the one that scoring uses, in one step. A scorer that follows the topic takes
   it up within a second, without a restart.

**`scoring`** drains the topic: every registration becomes one offer in the store of offers and in the cache, whatever is retried. Then
`verify` compares history, offers and cache. With its defaults it needs no server: registrations are simulated into the embedded topic.
Nothing is ever simulated into a topic elsewhere.

Training needs `pip install 'headrace[train]'`, in the workers' Python or in another one that `HEADRACE_PYTHON` names; scoring does not.
**Stores** are URLs, or `conn:ID` and `conn:ID/PATH` for Airflow connections, which keep the passwords.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Asset, Param, dag, task
from airflow.sdk.exceptions import AirflowSkipException

EMBEDDED = "embedded:/tmp/headrace/store"
CANDIDATES = "/tmp/headrace/models"
MODEL = "/tmp/headrace/model/tariff-trees.onnx"
PROMOTED = Asset("scoring_model")
"""Has an event after each promotion."""
OFFERS = Asset("scoring_offers")
"""Has an event after each commit of a run of `score`."""
ARGUMENTS: dict[str, Any] = {"retries": 2, "retry_delay": timedelta(seconds=10)}


def text_param(default: str | None, title: str, description: str, section: str | None = None) -> Param:
    """A text in the form; one without a default may stay empty."""
    kind = "string" if default else ["null", "string"]
    return Param(default, type=kind, title=title, description=description, **({"section": section} if section else {}))


TRAIN_PARAMS = {
    "training": text_param(None, "Training CSV", "Path of the file to learn from; simulated if empty"),
    "holdout": text_param(None, "Holdout CSV", "Path of the file for the metrics; simulated if empty"),
    "rows": Param(4_000, type="integer", minimum=1_000, title="Rows to simulate", description="Used when a file is not given"),
    "seed": Param(1, type="integer", minimum=0, title="Seed", description="The same files and seed give the same models"),
    "worst_cost": Param(
        20.5, type="number", exclusiveMinimum=0, title="Bar of the cost", description="Its greatest error (RMSE), in roubles"
    ),
    "candidates": text_param(CANDIDATES, "Directory of candidates", "Made if missing"),
    "model": text_param(MODEL, "Model in use", "The file that scoring reads and promotion replaces; its name ends in .onnx"),
}
SCORE_PARAMS = {
    "log": text_param(EMBEDDED, "Log", "kafka://HOST/TOPIC or embedded:DIRECTORY, or conn:ID/PATH", "Stores"),
    "offers": text_param(
        EMBEDDED, "Offers", "clickhouse://HOST/DATABASE, mysql://USER@HOST/DATABASE or embedded:DIRECTORY, or conn:ID/PATH", "Stores"
    ),
    "cache": text_param(None, "Cache", "redis://HOST or a store with tables, or conn:ID; the ledger's store if empty", "Stores"),
    "ledger": text_param(None, "Ledger", "mysql://USER@HOST/DATABASE or embedded:DIRECTORY; the offers' store if empty", "Stores"),
    "model": text_param(None, "Model", "Path of a linear model (.json) or an ONNX model (.onnx); the built-in one if empty"),
    "registrations": Param(
        1_000, type="integer", minimum=0, title="Registrations to simulate", description="Into an embedded topic only; 0 sends none"
    ),
    "seed": Param(1, type="integer", minimum=0, title="Seed of the simulation", description="The same seed gives the same users"),
}


@dag(
    schedule="@weekly",
    catchup=False,
    max_active_runs=1,
    params=TRAIN_PARAMS,
    default_args=ARGUMENTS,
    tags=["headrace", "scoring"],
    doc_md=__doc__,
)
def scoring_train() -> None:
    """Connects train, validate and promote."""

    @task
    def train(params: dict[str, Any]) -> dict[str, Any]:
        """Trains both models; the report has their errors."""
        from headrace import airflow, scoring

        files = {"training": params["training"], "holdout": params["holdout"]}
        if not all(files.values()):
            files = {"simulate": params["rows"]}
        return airflow.run(scoring.train, out=params["candidates"], seed=params["seed"], **files)

    @task
    def validate(params: dict[str, Any]) -> dict[str, Any]:
        """Checks the bars on the models as they are written."""
        from headrace import airflow, scoring

        holdout = params["holdout"] if params["training"] else None
        holdout = holdout or f"{params['candidates']}/holdout.csv"
        return airflow.run(scoring.train, holdout=holdout, out=params["candidates"], validate=True, worst_cost=params["worst_cost"])

    @task(outlets=[PROMOTED])
    def promote(params: dict[str, Any]) -> dict[str, str]:
        """Replaces the model in use; gives its path and hash."""
        from headrace import scoring_train as trainer
        from headrace.airflow.execution import sorted_errors

        with sorted_errors():
            return trainer.promote(f"{params['candidates']}/{trainer.PRODUCTION}", params["model"])

    train() >> validate() >> promote()


@dag(
    schedule=None,
    catchup=False,
    max_active_runs=1,
    params=SCORE_PARAMS,
    default_args=ARGUMENTS,
    tags=["headrace", "scoring"],
    doc_md=__doc__,
)
def scoring() -> None:
    """Connects send, score and verify."""

    @task
    def send(params: dict[str, Any]) -> dict[str, Any]:
        """Simulates registrations into the embedded topic. A second try may send some of them twice, which scoring absorbs."""
        from headrace import airflow, scoring

        if not params["log"].startswith("embedded:") or not params["registrations"]:
            raise AirflowSkipException("registrations come from elsewhere")
        return airflow.run(scoring.send, to=params["log"], count=params["registrations"], varied=True, seed=params["seed"])

    @task(outlets=[OFFERS], trigger_rule="none_failed")
    def score(params: dict[str, Any]) -> dict[str, Any]:
        """Scores what the topic holds, and ends."""
        from headrace import airflow, scoring

        stores = {name: params[name] for name in ("offers", "cache", "ledger")}
        return airflow.run(scoring.score, from_=params["log"], model=params["model"], **stores)

    @task
    def verify(params: dict[str, Any]) -> dict[str, Any]:
        """Fails where history, offers and cache do not agree."""
        from headrace import airflow, scoring

        return airflow.run(scoring.verify, **{name: params[name] for name in ("offers", "cache", "ledger")})

    send() >> score() >> verify()


scoring_train()
scoring()
