#!/bin/sh
# A fleet's database: made at the first start, with the password in /run/secrets/store-password, and
# then served on a socket alone. A start that was cut off while it made it begins again.
set -eu
data=/var/lib/postgresql/fleet
new=$data/new
here=$data/15
if [ ! -e "$here/PG_VERSION" ]; then
    rm -rf "$new"
    initdb --pgdata="$new" --username=postgres --auth=peer --encoding=UTF8 --locale=C > /dev/null
    printf 'local all postgres peer\nlocal framegate framegate scram-sha-256\n' > "$new/pg_hba.conf"
    pg_ctl start --wait --silent --pgdata="$new" --options="-c listen_addresses= -k /tmp" > /dev/null
    psql --host=/tmp --username=postgres --dbname=postgres --quiet --set=ON_ERROR_STOP=1 \
        --set=password="$(cat /run/secrets/store-password)" << 'SQL'
CREATE ROLE framegate LOGIN PASSWORD :'password';
CREATE DATABASE framegate OWNER framegate;
SQL
    pg_ctl stop --wait --silent --mode=fast --pgdata="$new"
    mv "$new" "$here"
fi
exec postgres -D "$here" -c listen_addresses= -k /run/postgresql
