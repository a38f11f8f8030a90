#!/usr/bin/env bash
# secrets.sh NAMESPACE [--database-host HOST] [--mlflow-host HOST] [--server-host HOST]
#
# Makes the Secrets of an environment whose PostgreSQL is the cluster's own, with random values, in NAMESPACE (PostgreSQL,
# MLflow, inference server), NAMESPACE-steps and NAMESPACE-airflow, and the pair of keys of signed versions. A Secret that
# is there is kept as it is, so it can be run again. Nothing secret is printed, written to a file or seen in the list of processes.
set -euo pipefail
services=${1:?usage: secrets.sh NAMESPACE [--database-host HOST] [--mlflow-host HOST] [--server-host HOST]}
shift
steps=$services-steps airflow=$services-airflow
database=noria-postgres.$services mlflow=noria-mlflow.$services server=noria-serving-replicas.$services
while (($#)); do
  case $1 in
    --database-host) database=$2 ;;
    --mlflow-host) mlflow=$2 ;;
    --server-host) server=$2 ;;
    *) echo "secrets.sh: $1 is not known" >&2; exit 2 ;;
  esac
  shift 2
done

random() { openssl rand -hex 24; }
encoded() { printf %s "$1" | base64 | tr -d '\n'; }
field() { # field NAMESPACE SECRET KEY
  kubectl --namespace "$1" get secret "$2" --output "jsonpath={.data.${3//./\\.}}" | base64 --decode
}
is_there() { [[ -n $(kubectl --namespace "$1" get secret "$2" --ignore-not-found --output name) ]]; }
secret() { # secret NAMESPACE NAME [KEY VALUE]...; the value of @KEY is in base64 already
  local namespace=$1 name=$2
  shift 2
  {
    printf 'apiVersion: v1\nkind: Secret\nmetadata: {name: %s, namespace: %s}\ndata:\n' "$name" "$namespace"
    while (($#)); do
      if [[ $1 == @* ]]; then printf '  %s: %s\n' "${1#@}" "$2"; else printf '  %s: %s\n' "$1" "$(encoded "$2")"; fi
      shift 2
    done
  } | kubectl create --filename -
}
ours() { printf 'postgresql+psycopg2://%s:%s@%s:5432/%s' "$1" "$(field "$services" noria-postgres "$1")" "$database" "$1"; }

for namespace in "$services" "$steps" "$airflow"; do
  [[ -n $(kubectl get namespace "$namespace" --ignore-not-found --output name) ]] || kubectl create namespace "$namespace"
done

is_there "$services" noria-postgres ||
  secret "$services" noria-postgres postgres "$(random)" noria "$(random)" mlflow "$(random)" airflow "$(random)"

is_there "$services" noria-mlflow || secret "$services" noria-mlflow database_url "$(ours mlflow)"

if ! is_there "$services" noria-serving; then
  admin=$(random)
  secret "$services" noria-serving database_url "$(ours noria)" admin_token "$admin" \
    tokens.json "{\"predict\": [\"$(random)\"], \"admin\": [\"$admin\"]}" \
    @hashing.key "$(openssl rand -base64 32)"
fi
token=$(field "$services" noria-serving admin_token)
is_there "$steps" noria-hashing ||
  secret "$steps" noria-hashing @hashing.key \
    "$(kubectl --namespace "$services" get secret noria-serving --output 'jsonpath={.data.hashing\.key}')"

# The private key is where Airflow registers versions, and nowhere else; everybody else checks with its public half.
if ! is_there "$airflow" noria-signing; then
  private=$(openssl genpkey -algorithm ed25519)
  secret "$airflow" noria-signing signing.pem "$private"
fi

trusted=$(field "$airflow" noria-signing signing.pem | openssl pkey -pubout)
for namespace in "$services" "$steps" "$airflow"; do
  is_there "$namespace" noria-trusted-keys ||
    secret "$namespace" noria-trusted-keys NORIA_TRUSTED_KEYS "$trusted"
done

is_there "$services" noria-exporter ||
  secret "$services" noria-exporter database_url "$(ours noria)" airflow_database_url "$(ours airflow)"

is_there "$steps" noria-steps ||
  secret "$steps" noria-steps NORIA_DATABASE_URL "$(ours noria)" NORIA_SERVER_TOKEN "$token" \
    NORIA_TRACKING_URL "http://$mlflow:5000" NORIA_SERVER_URL "http://$server:8090"

if ! is_there "$airflow" noria-airflow; then
  noria=$(field "$services" noria-postgres noria)
  metadata=$(ours airflow)
  secret "$airflow" noria-airflow \
    connection "${metadata/+psycopg2/}" \
    fernet-key "$(openssl rand -base64 32 | tr '+/' '-_')" api-secret-key "$(random)" jwt-secret "$(random)" \
    AIRFLOW_CONN_NORIA_DATABASE \
    "{\"conn_type\": \"postgres\", \"host\": \"$database\", \"port\": 5432, \"schema\": \"noria\", \"login\": \"noria\", \"password\": \"$noria\"}" \
    AIRFLOW_CONN_NORIA_MLFLOW "{\"conn_type\": \"http\", \"host\": \"$mlflow\", \"port\": 5000}" \
    AIRFLOW_CONN_NORIA_SERVER "{\"conn_type\": \"http\", \"host\": \"$server\", \"port\": 8090, \"password\": \"$token\"}"
fi
