# Run once, by the image's start, in a new cluster: a database with an owner of its own for each of those who need one.
for name in noria mlflow airflow; do
  psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username postgres --dbname postgres <<SQL
\set password \`cat /run/passwords/$name\`
CREATE ROLE $name LOGIN PASSWORD :'password';
CREATE DATABASE $name OWNER $name;
REVOKE ALL ON DATABASE $name FROM PUBLIC;
SQL
done
