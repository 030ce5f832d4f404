"""Settings: one frozen value, made here from the environment. Nothing else reads the environment."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from keepwell.core.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Settings:
    """What one installation is told from outside.

    Attributes:
        home: the folder of this installation: database, blobs, keys, logs.
        database: SQLAlchemy URL; by default a SQLite file in `home`.
        failpoints: armed failpoints, `name:action[@n]` separated by commas; empty in production.
        workers: processes that run steps and training.
        connections: the most connections to PostgreSQL that one process has at a time.
        backed_up: whether whoever runs this says that PostgreSQL's database is backed up, so that it can be migrated
            without a dump.
    """

    home: Path
    database: str
    failpoints: str = ""
    workers: int = 2
    connections: int = 20
    backed_up: bool = False


def read_settings(home: str | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """Return the settings from `--home` and the environment's KEEPWELL_ variables.

    Raises:
        InvalidInput: a variable has a value that cannot be used.
    """
    env = os.environ if environment is None else environment  # noqa: TID251  (the one place)
    chosen = home or env.get("KEEPWELL_HOME") or "~/.keepwell"
    if "\0" in chosen:
        raise InvalidInput("The home folder's name holds a NUL byte.", where="home")
    folder = Path(chosen).expanduser().absolute()
    workers = env.get("KEEPWELL_WORKERS", str(min(os.cpu_count() or 1, 8)))
    if not workers.isdigit() or not 1 <= int(workers) <= 256:
        raise InvalidInput("KEEPWELL_WORKERS must be a whole number from 1 to 256.", where="KEEPWELL_WORKERS")
    connections = env.get("KEEPWELL_CONNECTIONS", "20")
    if not connections.isdigit() or not 4 <= int(connections) <= 1000:
        raise InvalidInput("KEEPWELL_CONNECTIONS must be a whole number from 4 to 1000.", where="KEEPWELL_CONNECTIONS")
    return Settings(
        home=folder,
        database=env.get("KEEPWELL_DATABASE") or f"sqlite:///{folder / 'keepwell.db'}",
        failpoints=env.get("KEEPWELL_FAILPOINTS", ""),
        workers=int(workers),
        connections=int(connections),
        backed_up=env.get("KEEPWELL_BACKED_UP", "") not in ("", "0"),
    )


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """What the SDK of one process is told from outside.

    Attributes:
        uri: where runs are recorded: `http(s)://host:port`, or a home folder.
        home: the folder of this machine's installation.
        spool: the folder for what no server has acknowledged yet.
        token: what the server lets us in with.
        experiment: the experiment of runs that name none.
        run: the run that a process takes up when it starts one without a name.
    """

    uri: str
    home: Path
    spool: Path
    token: str | None = field(default=None, repr=False)
    experiment: str | None = None
    run: str | None = None

    @property
    def remote(self) -> bool:
        """Whether runs go to a server."""
        return self.uri.startswith(("http://", "https://"))


def read_client_settings(
    uri: str | None = None, home: str | None = None, environment: Mapping[str, str] | None = None
) -> ClientSettings:
    """Return the SDK's settings; arguments come before variables.

    The variables are KEEPWELL_TRACKING_URI, KEEPWELL_TOKEN, KEEPWELL_EXPERIMENT, KEEPWELL_RUN_ID, KEEPWELL_SPOOL and
    what `read_settings` reads.

    Raises:
        InvalidInput: a variable has a value that cannot be used.
    """
    env = os.environ if environment is None else environment  # noqa: TID251  (the one place)
    folder = read_settings(home, env).home
    chosen = uri or env.get("KEEPWELL_TRACKING_URI") or str(folder)
    if not chosen.startswith(("http://", "https://")):
        if "://" in chosen and not chosen.startswith("file:///"):
            raise InvalidInput("KEEPWELL_TRACKING_URI is http(s)://host:port, or a folder.", where="uri")
        folder = Path(chosen.removeprefix("file://")).expanduser().absolute()
        chosen = str(folder)
    return ClientSettings(
        uri=chosen.rstrip("/") or "/",
        home=folder,
        spool=Path(env.get("KEEPWELL_SPOOL") or folder / "spool").expanduser().absolute(),
        token=env.get("KEEPWELL_TOKEN") or None,
        experiment=env.get("KEEPWELL_EXPERIMENT") or None,
        run=env.get("KEEPWELL_RUN_ID") or None,
    )


def outside_variables(names: Iterable[str], environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment variables of those names that are set: what a pipeline's commands asked to be handed."""
    env = os.environ if environment is None else environment  # noqa: TID251  (the one place)
    return {name: env[name] for name in names if name in env}


@dataclass(frozen=True, slots=True)
class MlflowAccess:
    """How a tracking server of MLflow is asked: the variables that MLflow's own clients read.

    Attributes:
        token: a bearer token.
        username: with `password`, basic credentials; a token comes first.
        password: see `username`.
        insecure: do not check the server's certificate.
        certificates: a file of certificates to trust instead of the system's.
    """

    token: str | None = field(default=None, repr=False)
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    insecure: bool = False
    certificates: str | None = None


def read_mlflow_access(environment: Mapping[str, str] | None = None) -> MlflowAccess:
    """Return what MLFLOW_TRACKING_TOKEN, _USERNAME, _PASSWORD, _INSECURE_TLS and _SERVER_CERT_PATH say."""
    env = os.environ if environment is None else environment  # noqa: TID251  (the one place)
    return MlflowAccess(
        token=env.get("MLFLOW_TRACKING_TOKEN") or None,
        username=env.get("MLFLOW_TRACKING_USERNAME") or None,
        password=env.get("MLFLOW_TRACKING_PASSWORD") or None,
        insecure=env.get("MLFLOW_TRACKING_INSECURE_TLS", "").casefold() in ("true", "1"),
        certificates=env.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or None,
    )


def default_variable(name: str, value: str) -> None:
    """Set an environment variable of this process that a library reads when it is imported, unless it is set."""
    os.environ.setdefault(name, value)  # noqa: TID251  (the one place)
