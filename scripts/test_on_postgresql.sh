#!/bin/sh
# Run tests on PostgreSQL: the one that TEST_DATABASE_URL names, else one that answers on loopback.
# Without any they are left out, loudly; with REQUIRE_POSTGRESQL=1 that is a failure.
set -eu
python=$1
shift
if [ -z "${TEST_DATABASE_URL:-}" ]; then
    for user in postgres "$(id -un)"; do
        url="postgresql://$user@127.0.0.1:5432/postgres"
        if "$python" -c "import psycopg, sys; psycopg.connect(sys.argv[1], connect_timeout=3)" "$url" 2>/dev/null; then
            TEST_DATABASE_URL=$url
            break
        fi
    done
fi
if [ -z "${TEST_DATABASE_URL:-}" ]; then
    echo "No PostgreSQL answers on 127.0.0.1:5432 and TEST_DATABASE_URL is not set: its tests were left out." >&2
    [ "${REQUIRE_POSTGRESQL:-}" = 1 ] && exit 1
    exit 0
fi
export TEST_DATABASE_URL
echo "On PostgreSQL:"
exec "$python" -m pytest "$@"
