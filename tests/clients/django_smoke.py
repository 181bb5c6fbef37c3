"""Django against one port: migrations, and what applications do with its ORM. A script: PORT on the command line.

Prints one line a step, so that the same run on the plain server can be compared line by line.
"""

import datetime
import sys
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

import django
import pymysql
from django.conf import settings

from tests.clients.place import DATABASES, PASSWORD, USER

STEPS: Final[list[Callable[[], Any]]] = []


def step(function: Callable[[], Any]) -> Callable[[], Any]:
    STEPS.append(function)
    return function


def configure(port: int) -> None:
    pymysql.version_info = (2, 2, 7, "final", 0)  # what Django asks of mysqlclient
    pymysql.install_as_MySQLdb()
    settings.configure(
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.mysql",
                "HOST": "127.0.0.1",
                "PORT": port,
                "USER": USER,
                "PASSWORD": PASSWORD,
                "NAME": DATABASES[0],
                "OPTIONS": {"charset": "utf8mb4", "isolation_level": "read committed"},
            }
        },
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions"],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        USE_TZ=True,
        TIME_ZONE="UTC",  # named zones need tables that a test server lacks
        SECRET_KEY="a test's",
    )
    django.setup()


@step
def migrate() -> Any:
    from django.core.management import call_command
    from django.db import connection

    call_command("migrate", verbosity=0, interactive=False)
    return sorted(connection.introspection.table_names())


@step
def makes_and_reads() -> Any:
    from django.contrib.auth.models import Group, User

    user = User.objects.create_user("ann", "ann@example.org", "secret")
    User.objects.bulk_create([User(username=f"u{n}", first_name="Zoë 🎉") for n in range(20)])
    group = Group.objects.create(name="readers")
    group.user_set.add(user, *User.objects.filter(username__startswith="u1"))
    return group.user_set.count(), User.objects.get(username="u3").first_name, user.check_password("secret")


@step
def queries() -> Any:
    from django.contrib.auth.models import User
    from django.db.models import Count, Exists, F, OuterRef, Q, Window
    from django.db.models.functions import Concat, Rank, TruncDay

    User.objects.filter(username="u4").update(
        date_joined=datetime.datetime(2024, 3, 31, 1, 30, tzinfo=datetime.UTC)
    )
    day = User.objects.annotate(day=TruncDay("date_joined")).get(username="u4").day
    ranked = User.objects.annotate(r=Window(Rank(), order_by=F("username").asc())).order_by("r")[:3]
    inner = User.groups.through.objects.filter(user=OuterRef("pk"))
    return (
        day.isoformat(),
        [(one.username, one.r) for one in ranked],
        User.objects.filter(Exists(inner)).count(),
        User.objects.filter(Q(username__regex="^u[12]$") | Q(username__iexact="ANN")).count(),
        User.objects.aggregate(n=Count("id", distinct=True)),
        User.objects.annotate(n=Concat("username", "first_name")).get(username="u5").n,
    )


@step
def transactions() -> Any:
    from django.contrib.auth.models import User
    from django.db import IntegrityError, connection, transaction

    with transaction.atomic():
        locked = User.objects.select_for_update().get(username="u1")
        locked.first_name = "kept"
        locked.save()
        try:
            with transaction.atomic():
                User.objects.create(username="u2")
        except IntegrityError as error:
            number = error.args[0]
        inside = connection.in_atomic_block
    try:
        with transaction.atomic():
            User.objects.filter(username="u1").update(first_name="lost")
            raise ValueError
    except ValueError:
        pass
    skipped = User.objects.select_for_update(skip_locked=True).filter(username="u1")
    with transaction.atomic():
        names = [one.first_name for one in skipped]
    return number, inside, names


@step
def raw_and_schema() -> Any:
    from django.db import connection, models

    class Thing(models.Model):
        price = models.DecimalField(max_digits=10, decimal_places=2, db_index=True)
        data = models.JSONField(default=dict)
        at = models.DateTimeField(null=True)

        class Meta:
            app_label = "auth"

    with connection.schema_editor() as editor:
        editor.create_model(Thing)
        field = models.CharField(max_length=30, null=True)
        field.set_attributes_from_name("name")
        editor.add_field(Thing, field)
    Thing.objects.create(price=Decimal("12.34"), data={"a": [1, {"b": None}]})
    found = Thing.objects.filter(data__a__0=1).values_list("price", "data").get()
    with connection.cursor() as cursor:
        columns = [one.name for one in connection.introspection.get_table_description(cursor, "auth_thing")]
        keys = sorted(connection.introspection.get_constraints(cursor, "auth_thing"))
    with connection.schema_editor() as editor:
        editor.delete_model(Thing)
    return str(found[0]), found[1], columns, keys


def main() -> None:
    configure(int(sys.argv[1]))
    for function in STEPS:
        print(function.__name__, function(), flush=True)


if __name__ == "__main__":
    main()
