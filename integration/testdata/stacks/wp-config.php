<?php
function given($name) {
  $file = getenv("{$name}_FILE");
  return $file ? rtrim(file_get_contents($file)) : getenv($name);
}
define('DB_HOST', given('WORDPRESS_DB_HOST'));
define('DB_NAME', given('WORDPRESS_DB_NAME'));
define('DB_USER', given('WORDPRESS_DB_USER'));
define('DB_PASSWORD', given('WORDPRESS_DB_PASSWORD'));
define('WP_DEFAULT_THEME', 'plain');
define('WP_HTTP_BLOCK_EXTERNAL', true); // there is no internet
$table_prefix = 'wp_';
eval(given('WORDPRESS_CONFIG_EXTRA'));
define('ABSPATH', __DIR__ . '/');
require_once ABSPATH . 'wp-settings.php';
