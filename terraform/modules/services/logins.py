"""Make the login that READER_DSN names, or give it the password that stands there. Run as the log's owner.

The server gets the password's hash only, so that no log of statements holds it.
"""

import os

import psycopg
from psycopg import conninfo, sql

login = conninfo.conninfo_to_dict(os.environ["READER_DSN"])
user, password = str(login["user"]), str(login["password"])

with psycopg.connect(os.environ["HOLONSTREAM_POSTGRES_DSN"]) as connection:
    known = connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [user]).rowcount
    verb = sql.SQL("ALTER" if known else "CREATE")
    hashed = connection.pgconn.encrypt_password(password.encode(), user.encode(), b"scram-sha-256").decode()
    connection.execute(sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(verb, sql.Identifier(user), sql.Literal(hashed)))
    connection.execute(sql.SQL("GRANT holonstream_reader TO {}").format(sql.Identifier(user)))

print(f"login {user}: {'password set' if known else 'made'}, member of holonstream_reader")
