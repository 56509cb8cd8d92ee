# What the official image's entrypoint does, with this machine's WordPress: it
# fills an empty volume, with a wp-config.php that reads the same variables.
# Debian's has no theme without more packages: one of our own, of two files.
set -euo pipefail
cd /var/www/html
if [ ! -e wp-config.php ]; then
	cp --recursive --no-clobber /usr/share/wordpress/wp-{admin,includes,content} /usr/share/wordpress/*.php .
	mkdir -p wp-content/themes/plain
	echo '/* Theme Name: plain */' >wp-content/themes/plain/style.css
	echo '<?php bloginfo("name"); while (have_posts()) { the_post(); the_title("<h2>", "</h2>"); the_permalink(); }' >wp-content/themes/plain/index.php
	cp /test/wp-config.php wp-config.php
fi
cat >/tmp/fpm.conf <<'CONF'
[global]
error_log = /tmp/fpm.log
[www]
listen = /tmp/fpm.sock
pm = static
pm.max_children = 4
clear_env = no
CONF
php-fpm8.2 --nodaemonize --fpm-config /tmp/fpm.conf &
exec bash /test/nginx.sh /var/www/html php
