#include "server/samples.hpp"

namespace oddjob::server {

std::string_view sample_workloads() noexcept {
  return R"yaml(apiVersion: v1
kind: ConfigMap
metadata: {name: payments-config, namespace: default}
data:
  DATABASE_NAME: payments
  DATABASE_HOST: db.example.internal
---
apiVersion: v1
kind: Secret
metadata: {name: payments-secret, namespace: default}
stringData:
  DATABASE_PASSWORD: not-a-real-one
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: payments
  namespace: default
  annotations:
    oddjob.dev/allowed-teams: payments
    oddjob.dev/allow-env: "*"
    oddjob.dev/max-timeout: 2h
spec:
  replicas: 2
  selector: {matchLabels: {app: payments}}
  template:
    metadata: {labels: {app: payments}}
    spec:
      containers:
        - name: app
          image: registry.example.com/payments:1.4.2
          envFrom:
            - configMapRef: {name: payments-config}
            - secretRef: {name: payments-secret}
          ports: [{containerPort: 8080}]
          readinessProbe: {httpGet: {path: /healthz, port: 8080}}
---
apiVersion: v1
kind: Service
metadata: {name: payments, namespace: default}
spec:
  selector: {app: payments}
  ports: [{port: 80, targetPort: 8080}]
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: reports
  namespace: default
  annotations:
    oddjob.dev/allowed-users: bob
    oddjob.dev/require-reason: "true"
spec:
  replicas: 1
  selector: {matchLabels: {app: reports}}
  template:
    metadata: {labels: {app: reports}}
    spec:
      containers:
        - name: app
          image: registry.example.com/reports:2.0.0
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: ledger
  namespace: default
  annotations:
    oddjob.dev/allowed-teams: payments
    oddjob.dev/approval: required
    oddjob.dev/approver-users: bob
    oddjob.dev/require-reason: "true"
spec:
  replicas: 1
  selector: {matchLabels: {app: ledger}}
  template:
    metadata: {labels: {app: ledger}}
    spec:
      containers:
        - name: app
          image: registry.example.com/ledger:3.1.0
          command: [sh, -c, "while :; do sleep 5; done"]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: legacy, namespace: default}
spec:
  replicas: 1
  selector: {matchLabels: {app: legacy}}
  template:
    metadata: {labels: {app: legacy}}
    spec:
      containers:
        - name: app
          image: registry.example.com/legacy:0.9
---
apiVersion: oddjob.dev/v1alpha1
kind: JobTemplate
metadata: {name: backfill, namespace: default}
spec:
  description: Fills the country of all payments made since a day.
  workloadRef: {kind: Deployment, name: payments}
  command: [sh, scripts/backfill.sh]
  args: ["${since}", "${batches}"]
  parameters:
    - {name: since, type: date, min: "2020-01-01", description: The first day to fill}
    - {name: batches, type: integer, min: 1, max: 100, default: 3}
  timeout: 10m
)yaml";
}

}  // namespace oddjob::server
