# Not a Drupal: Debian has none. A page on its settings, volume and database.
exec php8.2 -S 0.0.0.0:80 /test/drupal.php
