# The official image's server, with this machine's NGINX: nginx.sh [DIR [php]].
# With php, pages are PHP's at /tmp/fpm.sock.
dir=${1:-/usr/share/nginx/html} pages=
if [ "${2:-}" = php ]; then
	pages='index index.php;
		location / { try_files $uri $uri/ /index.php?$args; }
		location ~ \.php$ {
			fastcgi_pass unix:/tmp/fpm.sock;
			fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;
			fastcgi_param SCRIPT_NAME $fastcgi_script_name;
			fastcgi_param DOCUMENT_ROOT $document_root;
			fastcgi_param REQUEST_URI $request_uri;
			fastcgi_param REQUEST_METHOD $request_method;
			fastcgi_param QUERY_STRING $query_string;
			fastcgi_param CONTENT_TYPE $content_type;
			fastcgi_param CONTENT_LENGTH $content_length;
			fastcgi_param SERVER_PROTOCOL $server_protocol;
			fastcgi_param SERVER_NAME $host;
			fastcgi_param SERVER_PORT $server_port;
			fastcgi_param REMOTE_ADDR $remote_addr;
		}'
fi
cat >/tmp/nginx.conf <<CONF
daemon off;
pid /tmp/pid;
events {}
http {
	types { text/html html; text/css css; text/javascript js; image/gif gif; }
	access_log off;
	client_body_temp_path /tmp/body;
	proxy_temp_path /tmp/proxy;
	fastcgi_temp_path /tmp/fastcgi;
	uwsgi_temp_path /tmp/uwsgi;
	scgi_temp_path /tmp/scgi;
	server { listen 80; root $dir; $pages }
}
CONF
exec nginx -e stderr -c /tmp/nginx.conf
