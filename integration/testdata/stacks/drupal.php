<?php

// What Drupal does with drupal.settings.php, as far as the stack file matters:
// it refuses other hosts, believes the proxy, and uses the database and
// sites/default/files. A POST adds a row and a file; both are shown.

namespace Symfony\Component\HttpFoundation {
  class Request {
    const HEADER_X_FORWARDED_FOR = 2;
    const HEADER_X_FORWARDED_PROTO = 8;
  }
}

namespace {
  function within($address, $network) {
    [$base, $bits] = explode('/', $network);
    return (ip2long($address) ^ ip2long($base)) >> (32 - $bits) === 0;
  }

  chdir('/opt/drupal/web');
  require 'sites/default/settings.php';
  if (str_starts_with($_SERVER['REQUEST_URI'], '/core/misc/')) {
    exit; // a file of the image
  }
  if (!preg_match('{' . $settings['trusted_host_patterns'][0] . '}i', $_SERVER['HTTP_HOST'])) {
    http_response_code(400);
    exit('The provided host name is not valid for this server.');
  }
  $trusted = $settings['reverse_proxy'] && within($_SERVER['REMOTE_ADDR'], $settings['reverse_proxy_addresses'][0]);
  $db = $databases['default']['default'];
  $pdo = new PDO("mysql:host={$db['host']};dbname={$db['database']}", $db['username'], $db['password']);
  $pdo->exec($db['init_commands']['isolation_level']);
  $pdo->exec('CREATE TABLE IF NOT EXISTS node (title VARCHAR(200)) ENGINE=InnoDB');
  if ($_POST) {
    is_dir('sites/default/files') || mkdir('sites/default/files');
    file_put_contents('sites/default/files/upload', $_POST['title']);
    $pdo->prepare('INSERT INTO node VALUES (?)')->execute([$_POST['title']]);
  }
  echo 'titles: ', implode(', ', $pdo->query('SELECT title FROM node')->fetchAll(PDO::FETCH_COLUMN));
  echo '; file: ', @file_get_contents('sites/default/files/upload');
  echo '; client: ', $trusted ? $_SERVER['HTTP_X_FORWARDED_FOR'] : 'unknown';
  echo '; salt: ', strlen($settings['hash_salt']);
  echo '; level: ', $pdo->query('SELECT @@tx_isolation')->fetchColumn();
}
