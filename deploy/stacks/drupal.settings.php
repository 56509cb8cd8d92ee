<?php

// Drupal's settings for drupal.yml: nothing of a site but its name is in here,
// and no secret. As the database is known, the installer does not ask for it.

use Symfony\Component\HttpFoundation\Request;

$databases['default']['default'] = [
  'driver' => 'mysql',
  'namespace' => 'Drupal\\mysql\\Driver\\Database\\mysql',
  'autoload' => 'core/modules/mysql/src/Driver/Database/mysql/',
  'host' => 'db',
  'database' => 'drupal',
  'username' => 'drupal',
  'password' => rtrim(file_get_contents('/run/secrets/db_password')),
  // Drupal asks for this level: the default one locks gaps, and editors wait.
  'init_commands' => ['isolation_level' => 'SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED'],
];

$settings['hash_salt'] = rtrim(file_get_contents('/run/secrets/hash_salt'));

// Another name in the request's Host would end up in links and password mails.
$settings['trusted_host_patterns'] = ['^' . preg_quote(getenv('DRUPAL_SITE')) . '$'];

// TLS ends at the proxy. Its headers are believed from the mesh's network only:
// who is the client, and that the request came by https. Not the host: the
// proxy passes Host on as it is.
$settings['reverse_proxy'] = TRUE;
$settings['reverse_proxy_addresses'] = explode(',', getenv('DRUPAL_PROXIES'));
$settings['reverse_proxy_trusted_headers'] = Request::HEADER_X_FORWARDED_FOR | Request::HEADER_X_FORWARDED_PROTO;

// In the volume; Drupal's .htaccess shows no .yml.
$settings['config_sync_directory'] = 'sites/default/sync';
