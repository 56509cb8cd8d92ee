# What the official image's entrypoint does, with this machine's MariaDB: it
# fills an empty data directory from the same variables, then runs the server.
set -euo pipefail
secret() { local file="${1}_FILE"; if [ -n "${!file:-}" ]; then cat "${!file}"; else printf %s "${!1}"; fi; }
data=/var/lib/mysql
if [ ! -d $data/mysql ]; then
	mariadb-install-db --no-defaults --innodb-log-file-size=4M --datadir=$data --auth-root-authentication-method=normal --skip-test-db >/dev/null
fi
cat >/tmp/init.sql <<SQL
CREATE DATABASE IF NOT EXISTS $MARIADB_DATABASE;
CREATE USER IF NOT EXISTS $MARIADB_USER@'%' IDENTIFIED BY '$(secret MARIADB_PASSWORD)';
GRANT ALL ON $MARIADB_DATABASE.* TO $MARIADB_USER@'%';
ALTER USER root@localhost IDENTIFIED BY '$(secret MARIADB_ROOT_PASSWORD)';
SQL
# As the image is configured: no name of a client is looked up.
exec mariadbd --no-defaults --skip-name-resolve --innodb-log-file-size=4M --datadir=$data --socket=/tmp/db.sock --init-file=/tmp/init.sql "$@"
