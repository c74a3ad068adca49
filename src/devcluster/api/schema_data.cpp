// The fields of the built-in kinds: names, numbers and types, as published in the
// .proto files of Kubernetes 1.33 (k8s.io/api, k8s.io/apimachinery).
//
// One type an entry, "Type: number name type, ..."; lines that begin with a space
// go on. Types: s string, i int32, l int64, b bool, d double, y bytes, q quantity,
// is int-or-string, time, utime (micro), ss list of strings, raw any JSON, or a
// type of this list. Before it: * a list, { a map by string. After it: ! the zero
// value is kept (a pointer in Go). The name "-": its fields are the parent's own.
#include "devcluster/api/schema.hpp"

namespace oddjob::devcluster {

extern const std::string_view kSchemaText[] = {
    R"(
ConfigMap: 1 metadata ObjectMeta, 4 immutable b!, 2 data {s, 3 binaryData {y
Endpoints: 1 metadata ObjectMeta, 2 subsets *EndpointSubset
Event: 1 metadata ObjectMeta!, 2 involvedObject ObjectReference!, 3 reason s, 4 message s,
  5 source EventSource, 6 firstTimestamp time, 7 lastTimestamp time, 8 count i, 9 type s, 10 eventTime utime,
  11 series EventSeries!, 12 action s, 13 related ObjectReference!, 14 reportingComponent s,
  15 reportingInstance s
LimitRange: 1 metadata ObjectMeta, 2 spec LimitRangeSpec
Namespace: 1 metadata ObjectMeta, 2 spec NamespaceSpec, 3 status NamespaceStatus
Node: 1 metadata ObjectMeta, 2 spec NodeSpec, 3 status NodeStatus
PersistentVolumeClaim: 1 metadata ObjectMeta, 2 spec PersistentVolumeClaimSpec,
  3 status PersistentVolumeClaimStatus
PersistentVolume: 1 metadata ObjectMeta, 2 spec PersistentVolumeSpec, 3 status PersistentVolumeStatus
Pod: 1 metadata ObjectMeta, 2 spec PodSpec, 3 status PodStatus
ReplicationController: 1 metadata ObjectMeta, 2 spec ReplicationControllerSpec,
  3 status ReplicationControllerStatus
ResourceQuota: 1 metadata ObjectMeta, 2 spec ResourceQuotaSpec, 3 status ResourceQuotaStatus
Secret: 1 metadata ObjectMeta, 5 immutable b!, 2 data {y, 4 stringData {s, 3 type s
ServiceAccount: 1 metadata ObjectMeta, 2 secrets *ObjectReference, 3 imagePullSecrets *LocalObjectReference,
  4 automountServiceAccountToken b!
Service: 1 metadata ObjectMeta, 2 spec ServiceSpec, 3 status ServiceStatus
ControllerRevision: 1 metadata ObjectMeta, 2 data raw, 3 revision l
DaemonSet: 1 metadata ObjectMeta, 2 spec DaemonSetSpec, 3 status DaemonSetStatus
Deployment: 1 metadata ObjectMeta, 2 spec DeploymentSpec, 3 status DeploymentStatus
ReplicaSet: 1 metadata ObjectMeta, 2 spec ReplicaSetSpec, 3 status ReplicaSetStatus
StatefulSet: 1 metadata ObjectMeta, 2 spec StatefulSetSpec, 3 status StatefulSetStatus
CronJob: 1 metadata ObjectMeta, 2 spec CronJobSpec, 3 status CronJobStatus
Job: 1 metadata ObjectMeta, 2 spec JobSpec, 3 status JobStatus
PodDisruptionBudget: 1 metadata ObjectMeta, 2 spec PodDisruptionBudgetSpec,
  3 status PodDisruptionBudgetStatus
Eviction: 1 metadata ObjectMeta, 2 deleteOptions DeleteOptions!
HorizontalPodAutoscaler: 1 metadata ObjectMeta, 2 spec HorizontalPodAutoscalerSpec,
  3 status HorizontalPodAutoscalerStatus
Scale: 1 metadata ObjectMeta, 2 spec ScaleSpec, 3 status ScaleStatus
Ingress: 1 metadata ObjectMeta, 2 spec IngressSpec, 3 status IngressStatus
NetworkPolicy: 1 metadata ObjectMeta, 2 spec NetworkPolicySpec
Lease: 1 metadata ObjectMeta, 2 spec LeaseSpec
ClusterRoleBinding: 1 metadata ObjectMeta, 2 subjects *Subject, 3 roleRef RoleRef!
ClusterRole: 1 metadata ObjectMeta, 2 rules *PolicyRule, 3 aggregationRule AggregationRule!
RoleBinding: 1 metadata ObjectMeta, 2 subjects *Subject, 3 roleRef RoleRef!
Role: 1 metadata ObjectMeta, 2 rules *PolicyRule
PriorityClass: 1 metadata ObjectMeta, 2 value i, 3 globalDefault b, 4 description s, 5 preemptionPolicy s!
StorageClass: 1 metadata ObjectMeta, 2 provisioner s, 3 parameters {s, 4 reclaimPolicy s!, 5 mountOptions *s,
  6 allowVolumeExpansion b!, 7 volumeBindingMode s!, 8 allowedTopologies *TopologySelectorTerm
TokenRequest: 1 metadata ObjectMeta, 2 spec TokenRequestSpec!, 3 status TokenRequestStatus
TokenReview: 1 metadata ObjectMeta, 2 spec TokenReviewSpec!, 3 status TokenReviewStatus
SelfSubjectReview: 1 metadata ObjectMeta, 2 status SelfSubjectReviewStatus
LocalSubjectAccessReview: 1 metadata ObjectMeta, 2 spec SubjectAccessReviewSpec!,
  3 status SubjectAccessReviewStatus
SelfSubjectAccessReview: 1 metadata ObjectMeta, 2 spec SelfSubjectAccessReviewSpec!,
  3 status SubjectAccessReviewStatus
SelfSubjectRulesReview: 1 metadata ObjectMeta, 2 spec SelfSubjectRulesReviewSpec!,
  3 status SubjectRulesReviewStatus
SubjectAccessReview: 1 metadata ObjectMeta, 2 spec SubjectAccessReviewSpec!,
  3 status SubjectAccessReviewStatus
DeleteOptions: 1 gracePeriodSeconds l!, 2 preconditions Preconditions!, 3 orphanDependents b!,
  4 propagationPolicy s!, 5 dryRun *s, 6 ignoreStoreReadErrorWithClusterBreakingPotential b!
ObjectMeta: 1 name s, 2 generateName s, 3 namespace s, 4 selfLink s, 5 uid s, 6 resourceVersion s,
  7 generation l, 8 creationTimestamp time, 9 deletionTimestamp time!, 10 deletionGracePeriodSeconds l!,
  11 labels {s, 12 annotations {s, 13 ownerReferences *OwnerReference, 14 finalizers *s,
  17 managedFields *ManagedFieldsEntry
EndpointSubset: 1 addresses *EndpointAddress, 2 notReadyAddresses *EndpointAddress, 3 ports *EndpointPort
ObjectReference: 1 kind s, 2 namespace s, 3 name s, 4 uid s, 5 apiVersion s, 6 resourceVersion s,
  7 fieldPath s
EventSource: 1 component s, 2 host s
EventSeries: 1 count i, 2 lastObservedTime utime
LimitRangeSpec: 1 limits *LimitRangeItem
NamespaceSpec: 1 finalizers *s
NamespaceStatus: 1 phase s, 2 conditions *NamespaceCondition
NodeSpec: 1 podCIDR s, 7 podCIDRs *s, 3 providerID s, 4 unschedulable b, 5 taints *Taint,
  6 configSource NodeConfigSource!, 2 externalID s
NodeStatus: 1 capacity {q, 2 allocatable {q, 3 phase s, 4 conditions *raw, 5 addresses *NodeAddress,
  6 daemonEndpoints raw, 7 nodeInfo raw, 8 images *ContainerImage, 9 volumesInUse *s,
  10 volumesAttached *AttachedVolume, 11 config raw!, 12 runtimeHandlers *raw, 13 features raw!
PersistentVolumeClaimSpec: 1 accessModes *s, 4 selector LabelSelector!,
  2 resources VolumeResourceRequirements, 3 volumeName s, 5 storageClassName s!, 6 volumeMode s!,
  7 dataSource TypedLocalObjectReference!, 8 dataSourceRef TypedObjectReference!,
  9 volumeAttributesClassName s!
PersistentVolumeClaimStatus: 1 phase s, 2 accessModes *s, 3 capacity {q, 4 conditions *raw,
  5 allocatedResources {q, 7 allocatedResourceStatuses {s, 8 currentVolumeAttributesClassName s!,
  9 modifyVolumeStatus raw!
PersistentVolumeSpec: 1 capacity {q, 2 - PersistentVolumeSource, 3 accessModes *s,
  4 claimRef ObjectReference!, 5 persistentVolumeReclaimPolicy s, 6 storageClassName s, 7 mountOptions *s,
  8 volumeMode s!, 9 nodeAffinity VolumeNodeAffinity!, 10 volumeAttributesClassName s!
PersistentVolumeStatus: 1 phase s, 2 message s, 3 reason s, 4 lastPhaseTransitionTime time!
PodSpec: 1 volumes *Volume, 20 initContainers *Container, 2 containers *Container,
  34 ephemeralContainers *EphemeralContainer, 3 restartPolicy s, 4 terminationGracePeriodSeconds l!,
  5 activeDeadlineSeconds l!, 6 dnsPolicy s, 7 nodeSelector {s, 8 serviceAccountName s, 9 serviceAccount s,
  21 automountServiceAccountToken b!, 10 nodeName s, 11 hostNetwork b, 12 hostPID b, 13 hostIPC b,
  27 shareProcessNamespace b!, 14 securityContext PodSecurityContext!,
  15 imagePullSecrets *LocalObjectReference, 16 hostname s, 17 subdomain s, 18 affinity Affinity!,
  19 schedulerName s, 22 tolerations *Toleration, 23 hostAliases *HostAlias, 24 priorityClassName s,
  25 priority i!, 26 dnsConfig PodDNSConfig!, 28 readinessGates *PodReadinessGate, 29 runtimeClassName s!,
  30 enableServiceLinks b!, 31 preemptionPolicy s!, 32 overhead {q,
  33 topologySpreadConstraints *TopologySpreadConstraint, 35 setHostnameAsFQDN b!, 36 os PodOS!,
  37 hostUsers b!, 38 schedulingGates *PodSchedulingGate, 39 resourceClaims *PodResourceClaim,
  40 resources ResourceRequirements!
PodStatus: 17 observedGeneration l, 1 phase s, 2 conditions *PodCondition, 3 message s, 4 reason s,
  11 nominatedNodeName s, 5 hostIP s, 16 hostIPs *HostIP, 6 podIP s, 12 podIPs *PodIP, 7 startTime time!,
  10 initContainerStatuses *ContainerStatus, 8 containerStatuses *ContainerStatus, 9 qosClass s,
  13 ephemeralContainerStatuses *ContainerStatus, 14 resize s,
  15 resourceClaimStatuses *PodResourceClaimStatus
ReplicationControllerSpec: 1 replicas i!, 4 minReadySeconds i, 2 selector {s, 3 template PodTemplateSpec!
ReplicationControllerStatus: 1 replicas i, 2 fullyLabeledReplicas i, 4 readyReplicas i,
  5 availableReplicas i, 3 observedGeneration l, 6 conditions *ReplicationControllerCondition
ResourceQuotaSpec: 1 hard {q, 2 scopes *s, 3 scopeSelector ScopeSelector!
ResourceQuotaStatus: 1 hard {q, 2 used {q
LocalObjectReference: 1 name s
ServiceSpec: 1 ports *ServicePort, 2 selector {s, 3 clusterIP s, 18 clusterIPs *s, 4 type s,
  5 externalIPs *s, 7 sessionAffinity s, 8 loadBalancerIP s, 9 loadBalancerSourceRanges *s,
  10 externalName s, 11 externalTrafficPolicy s, 12 healthCheckNodePort i, 13 publishNotReadyAddresses b,
  14 sessionAffinityConfig SessionAffinityConfig!, 19 ipFamilies *s, 17 ipFamilyPolicy s!,
  20 allocateLoadBalancerNodePorts b!, 21 loadBalancerClass s!, 22 internalTrafficPolicy s!,
  23 trafficDistribution s!
ServiceStatus: 1 loadBalancer raw, 2 conditions *raw
DaemonSetSpec: 1 selector LabelSelector!, 2 template PodTemplateSpec!,
  3 updateStrategy DaemonSetUpdateStrategy, 4 minReadySeconds i, 6 revisionHistoryLimit i!
DaemonSetStatus: 1 currentNumberScheduled i, 2 numberMisscheduled i, 3 desiredNumberScheduled i,
  4 numberReady i, 5 observedGeneration l, 6 updatedNumberScheduled i, 7 numberAvailable i,
  8 numberUnavailable i, 9 collisionCount i!, 10 conditions *DaemonSetCondition
DeploymentSpec: 1 replicas i!, 2 selector LabelSelector!, 3 template PodTemplateSpec!,
  4 strategy DeploymentStrategy, 5 minReadySeconds i, 6 revisionHistoryLimit i!, 7 paused b,
  9 progressDeadlineSeconds i!
DeploymentStatus: 1 observedGeneration l, 2 replicas i, 3 updatedReplicas i, 7 readyReplicas i,
  4 availableReplicas i, 5 unavailableReplicas i, 9 terminatingReplicas i!,
  6 conditions *DeploymentCondition, 8 collisionCount i!
ReplicaSetSpec: 1 replicas i!, 4 minReadySeconds i, 2 selector LabelSelector!, 3 template PodTemplateSpec
ReplicaSetStatus: 1 replicas i, 2 fullyLabeledReplicas i, 4 readyReplicas i, 5 availableReplicas i,
  7 terminatingReplicas i!, 3 observedGeneration l, 6 conditions *ReplicaSetCondition
StatefulSetSpec: 1 replicas i!, 2 selector LabelSelector!, 3 template PodTemplateSpec!,
  4 volumeClaimTemplates *PersistentVolumeClaim, 5 serviceName s, 6 podManagementPolicy s,
  7 updateStrategy StatefulSetUpdateStrategy, 8 revisionHistoryLimit i!, 9 minReadySeconds i,
  10 persistentVolumeClaimRetentionPolicy StatefulSetPersistentVolumeClaimRetentionPolicy!,
  11 ordinals StatefulSetOrdinals!
StatefulSetStatus: 1 observedGeneration l, 2 replicas i, 3 readyReplicas i, 4 currentReplicas i,
  5 updatedReplicas i, 6 currentRevision s, 7 updateRevision s, 9 collisionCount i!,
  10 conditions *StatefulSetCondition, 11 availableReplicas i
CronJobSpec: 1 schedule s, 8 timeZone s!, 2 startingDeadlineSeconds l!, 3 concurrencyPolicy s, 4 suspend b!,
  5 jobTemplate JobTemplateSpec!, 6 successfulJobsHistoryLimit i!, 7 failedJobsHistoryLimit i!
CronJobStatus: 1 active *ObjectReference, 4 lastScheduleTime time!, 5 lastSuccessfulTime time!
JobSpec: 1 parallelism i!, 2 completions i!, 3 activeDeadlineSeconds l!,
  11 podFailurePolicy PodFailurePolicy!, 16 successPolicy SuccessPolicy!, 7 backoffLimit i!,
  12 backoffLimitPerIndex i!, 13 maxFailedIndexes i!, 4 selector LabelSelector!, 5 manualSelector b!,
  6 template PodTemplateSpec!, 8 ttlSecondsAfterFinished i!, 9 completionMode s!, 10 suspend b!,
  14 podReplacementPolicy s!, 15 managedBy s!
JobStatus: 1 conditions *JobCondition, 2 startTime time!, 3 completionTime time!, 4 active i, 5 succeeded i,
  6 failed i, 11 terminating i!, 7 completedIndexes s, 10 failedIndexes s!,
  8 uncountedTerminatedPods UncountedTerminatedPods!, 9 ready i!
PodDisruptionBudgetSpec: 1 minAvailable is!, 2 selector LabelSelector!, 3 maxUnavailable is!,
  4 unhealthyPodEvictionPolicy s!
PodDisruptionBudgetStatus: 1 observedGeneration l, 2 disruptedPods {time, 3 disruptionsAllowed i,
  4 currentHealthy i, 5 desiredHealthy i, 6 expectedPods i, 7 conditions *Condition
HorizontalPodAutoscalerSpec: 1 scaleTargetRef CrossVersionObjectReference!, 2 minReplicas i!,
  3 maxReplicas i, 4 metrics *MetricSpec, 5 behavior HorizontalPodAutoscalerBehavior!
HorizontalPodAutoscalerStatus: 1 observedGeneration l!, 2 lastScaleTime time!, 3 currentReplicas i,
  4 desiredReplicas i, 5 currentMetrics *MetricStatus, 6 conditions *HorizontalPodAutoscalerCondition
ScaleSpec: 1 replicas i
ScaleStatus: 1 replicas i, 2 selector s
IngressSpec: 4 ingressClassName s!, 1 defaultBackend IngressBackend!, 2 tls *IngressTLS,
  3 rules *IngressRule
)",
    R"(
IngressStatus: 1 loadBalancer raw
NetworkPolicySpec: 1 podSelector LabelSelector!, 2 ingress *NetworkPolicyIngressRule,
  3 egress *NetworkPolicyEgressRule, 4 policyTypes *s
LeaseSpec: 1 holderIdentity s!, 2 leaseDurationSeconds i!, 3 acquireTime utime!, 4 renewTime utime!,
  5 leaseTransitions i!, 6 strategy s!, 7 preferredHolder s!
Subject: 1 kind s, 2 apiGroup s, 3 name s, 4 namespace s
RoleRef: 1 apiGroup s, 2 kind s, 3 name s
PolicyRule: 1 verbs *s, 2 apiGroups *s, 3 resources *s, 4 resourceNames *s, 5 nonResourceURLs *s
AggregationRule: 1 clusterRoleSelectors *LabelSelector
TopologySelectorTerm: 1 matchLabelExpressions *TopologySelectorLabelRequirement
TokenRequestSpec: 1 audiences *s, 4 expirationSeconds l!, 3 boundObjectRef BoundObjectReference!
TokenRequestStatus: 1 token s, 2 expirationTimestamp time
TokenReviewSpec: 1 token s, 2 audiences *s
TokenReviewStatus: 1 authenticated b, 2 user UserInfo, 4 audiences *s, 3 error s
SelfSubjectReviewStatus: 1 userInfo UserInfo
SubjectAccessReviewSpec: 1 resourceAttributes ResourceAttributes!,
  2 nonResourceAttributes NonResourceAttributes!, 3 user s, 4 groups *s, 5 extra {ss, 6 uid s
SubjectAccessReviewStatus: 1 allowed b, 4 denied b, 2 reason s, 3 evaluationError s
SelfSubjectAccessReviewSpec: 1 resourceAttributes ResourceAttributes!,
  2 nonResourceAttributes NonResourceAttributes!
SelfSubjectRulesReviewSpec: 1 namespace s
SubjectRulesReviewStatus: 1 resourceRules *ResourceRule, 2 nonResourceRules *NonResourceRule, 3 incomplete b,
  4 evaluationError s
Preconditions: 1 uid s!, 2 resourceVersion s!
OwnerReference: 5 apiVersion s, 1 kind s, 3 name s, 4 uid s, 6 controller b!, 7 blockOwnerDeletion b!
ManagedFieldsEntry: 1 manager s, 2 operation s, 3 apiVersion s, 4 time time!, 6 fieldsType s,
  7 fieldsV1 raw!, 8 subresource s
EndpointAddress: 1 ip s, 3 hostname s, 4 nodeName s!, 2 targetRef ObjectReference!
EndpointPort: 1 name s, 2 port i, 3 protocol s, 4 appProtocol s!
LimitRangeItem: 1 type s, 2 max {q, 3 min {q, 4 default {q, 5 defaultRequest {q, 6 maxLimitRequestRatio {q
NamespaceCondition: 1 type s, 2 status s, 4 lastTransitionTime time, 5 reason s, 6 message s
Taint: 1 key s, 2 value s, 3 effect s, 4 timeAdded time!
NodeConfigSource: 2 configMap ConfigMapNodeConfigSource!
NodeAddress: 1 type s, 2 address s
ContainerImage: 1 names *s, 2 sizeBytes l
AttachedVolume: 1 name s, 2 devicePath s
LabelSelector: 1 matchLabels {s, 2 matchExpressions *LabelSelectorRequirement
VolumeResourceRequirements: 1 limits {q, 2 requests {q
TypedLocalObjectReference: 1 apiGroup s!, 2 kind s, 3 name s
TypedObjectReference: 1 apiGroup s!, 2 kind s, 3 name s, 4 namespace s!
PersistentVolumeSource: 1 gcePersistentDisk raw!, 2 awsElasticBlockStore raw!,
  3 hostPath HostPathVolumeSource!, 4 glusterfs raw!, 5 nfs NFSVolumeSource!, 6 rbd raw!, 7 iscsi raw!,
  8 cinder raw!, 9 cephfs raw!, 10 fc raw!, 11 flocker raw!, 12 flexVolume raw!, 13 azureFile raw!,
  14 vsphereVolume raw!, 15 quobyte raw!, 16 azureDisk raw!, 17 photonPersistentDisk raw!,
  18 portworxVolume raw!, 19 scaleIO raw!, 20 local LocalVolumeSource!, 21 storageos raw!,
  22 csi CSIPersistentVolumeSource!
VolumeNodeAffinity: 1 required NodeSelector!
Volume: 1 name s, 2 - VolumeSource
Container: 1 name s, 2 image s, 3 command *s, 4 args *s, 5 workingDir s, 6 ports *ContainerPort,
  19 envFrom *EnvFromSource, 7 env *EnvVar, 8 resources ResourceRequirements,
  23 resizePolicy *ContainerResizePolicy, 24 restartPolicy s!, 9 volumeMounts *VolumeMount,
  21 volumeDevices *VolumeDevice, 10 livenessProbe Probe!, 11 readinessProbe Probe!, 22 startupProbe Probe!,
  12 lifecycle Lifecycle!, 13 terminationMessagePath s, 20 terminationMessagePolicy s, 14 imagePullPolicy s,
  15 securityContext SecurityContext!, 16 stdin b, 17 stdinOnce b, 18 tty b
EphemeralContainer: 1 - EphemeralContainerCommon, 2 targetContainerName s
PodSecurityContext: 1 seLinuxOptions SELinuxOptions!, 8 windowsOptions WindowsSecurityContextOptions!,
  2 runAsUser l!, 6 runAsGroup l!, 3 runAsNonRoot b!, 4 supplementalGroups *l,
  12 supplementalGroupsPolicy s!, 5 fsGroup l!, 7 sysctls *Sysctl, 9 fsGroupChangePolicy s!,
  10 seccompProfile SeccompProfile!, 11 appArmorProfile AppArmorProfile!, 13 seLinuxChangePolicy s!
Affinity: 1 nodeAffinity NodeAffinity!, 2 podAffinity PodAffinity!, 3 podAntiAffinity PodAntiAffinity!
Toleration: 1 key s, 2 operator s, 3 value s, 4 effect s, 5 tolerationSeconds l!
HostAlias: 1 ip s, 2 hostnames *s
PodDNSConfig: 1 nameservers *s, 2 searches *s, 3 options *PodDNSConfigOption
PodReadinessGate: 1 conditionType s
TopologySpreadConstraint: 1 maxSkew i, 2 topologyKey s, 3 whenUnsatisfiable s,
  4 labelSelector LabelSelector!, 5 minDomains i!, 6 nodeAffinityPolicy s!, 7 nodeTaintsPolicy s!,
  8 matchLabelKeys *s
PodOS: 1 name s
PodSchedulingGate: 1 name s
PodResourceClaim: 1 name s, 3 resourceClaimName s!, 4 resourceClaimTemplateName s!
ResourceRequirements: 1 limits {q, 2 requests {q, 3 claims *ResourceClaim
PodCondition: 1 type s, 7 observedGeneration l, 2 status s, 3 lastProbeTime time, 4 lastTransitionTime time,
  5 reason s, 6 message s
HostIP: 1 ip s
PodIP: 1 ip s
ContainerStatus: 1 name s, 2 state ContainerState, 3 lastState ContainerState, 4 ready b, 5 restartCount i,
  6 image s, 7 imageID s, 8 containerID s, 9 started b!, 10 allocatedResources {q,
  11 resources ResourceRequirements!, 12 volumeMounts *VolumeMountStatus, 13 user ContainerUser!,
  14 allocatedResourcesStatus *ResourceStatus, 15 stopSignal s!
PodResourceClaimStatus: 1 name s, 2 resourceClaimName s!
PodTemplateSpec: 1 metadata ObjectMeta, 2 spec PodSpec
ReplicationControllerCondition: 1 type s, 2 status s, 3 lastTransitionTime time, 4 reason s, 5 message s
ScopeSelector: 1 matchExpressions *ScopedResourceSelectorRequirement
ServicePort: 1 name s, 2 protocol s, 6 appProtocol s!, 3 port i, 4 targetPort is, 5 nodePort i
SessionAffinityConfig: 1 clientIP ClientIPConfig!
DaemonSetUpdateStrategy: 1 type s, 2 rollingUpdate RollingUpdateDaemonSet!
DaemonSetCondition: 1 type s, 2 status s, 3 lastTransitionTime time, 4 reason s, 5 message s
DeploymentStrategy: 1 type s, 2 rollingUpdate RollingUpdateDeployment!
DeploymentCondition: 1 type s, 2 status s, 6 lastUpdateTime time, 7 lastTransitionTime time, 4 reason s,
  5 message s
ReplicaSetCondition: 1 type s, 2 status s, 3 lastTransitionTime time, 4 reason s, 5 message s
StatefulSetUpdateStrategy: 1 type s, 2 rollingUpdate RollingUpdateStatefulSetStrategy!
StatefulSetPersistentVolumeClaimRetentionPolicy: 1 whenDeleted s, 2 whenScaled s
StatefulSetOrdinals: 1 start i
StatefulSetCondition: 1 type s, 2 status s, 3 lastTransitionTime time, 4 reason s, 5 message s
JobTemplateSpec: 1 metadata ObjectMeta, 2 spec JobSpec
PodFailurePolicy: 1 rules *PodFailurePolicyRule
SuccessPolicy: 1 rules *SuccessPolicyRule
JobCondition: 1 type s, 2 status s, 3 lastProbeTime time, 4 lastTransitionTime time, 5 reason s, 6 message s
UncountedTerminatedPods: 1 succeeded *s, 2 failed *s
Condition: 1 type s, 2 status s, 3 observedGeneration l, 4 lastTransitionTime time, 5 reason s, 6 message s
CrossVersionObjectReference: 1 kind s, 2 name s, 3 apiVersion s
MetricSpec: 1 type s, 2 object ObjectMetricSource!, 3 pods PodsMetricSource!,
  4 resource ResourceMetricSource!, 7 containerResource ContainerResourceMetricSource!,
  5 external ExternalMetricSource!
HorizontalPodAutoscalerBehavior: 1 scaleUp HPAScalingRules!, 2 scaleDown HPAScalingRules!
MetricStatus: 1 type s, 2 object ObjectMetricStatus!, 3 pods PodsMetricStatus!,
  4 resource ResourceMetricStatus!, 7 containerResource ContainerResourceMetricStatus!,
  5 external ExternalMetricStatus!
HorizontalPodAutoscalerCondition: 1 type s, 2 status s, 3 lastTransitionTime time, 4 reason s, 5 message s
IngressBackend: 4 service IngressServiceBackend!, 3 resource TypedLocalObjectReference!
IngressTLS: 1 hosts *s, 2 secretName s
IngressRule: 1 host s, 2 - IngressRuleValue
NetworkPolicyIngressRule: 1 ports *NetworkPolicyPort, 2 from *NetworkPolicyPeer
NetworkPolicyEgressRule: 1 ports *NetworkPolicyPort, 2 to *NetworkPolicyPeer
TopologySelectorLabelRequirement: 1 key s, 2 values *s
BoundObjectReference: 1 kind s, 2 apiVersion s, 3 name s, 4 uid s
UserInfo: 1 username s, 2 uid s, 3 groups *s, 4 extra {ss
ResourceAttributes: 1 namespace s, 2 verb s, 3 group s, 4 version s, 5 resource s, 6 subresource s, 7 name s,
  8 fieldSelector FieldSelectorAttributes!, 9 labelSelector LabelSelectorAttributes!
NonResourceAttributes: 1 path s, 2 verb s
ResourceRule: 1 verbs *s, 2 apiGroups *s, 3 resources *s, 4 resourceNames *s
NonResourceRule: 1 verbs *s, 2 nonResourceURLs *s
ConfigMapNodeConfigSource: 1 namespace s, 2 name s, 3 uid s, 4 resourceVersion s, 5 kubeletConfigKey s
LabelSelectorRequirement: 1 key s, 2 operator s, 3 values *s
HostPathVolumeSource: 1 path s, 2 type s!
NFSVolumeSource: 1 server s, 2 path s, 3 readOnly b
LocalVolumeSource: 1 path s, 2 fsType s!
CSIPersistentVolumeSource: 1 driver s, 2 volumeHandle s, 3 readOnly b, 4 fsType s, 5 volumeAttributes {s,
  6 controllerPublishSecretRef SecretReference!, 7 nodeStageSecretRef SecretReference!,
  8 nodePublishSecretRef SecretReference!, 9 controllerExpandSecretRef SecretReference!,
  10 nodeExpandSecretRef SecretReference!
NodeSelector: 1 nodeSelectorTerms *NodeSelectorTerm
VolumeSource: 1 hostPath HostPathVolumeSource!, 2 emptyDir EmptyDirVolumeSource!, 3 gcePersistentDisk raw!,
  4 awsElasticBlockStore raw!, 5 gitRepo raw!, 6 secret SecretVolumeSource!, 7 nfs NFSVolumeSource!,
  8 iscsi raw!, 9 glusterfs raw!, 10 persistentVolumeClaim PersistentVolumeClaimVolumeSource!, 11 rbd raw!,
  12 flexVolume raw!, 13 cinder raw!, 14 cephfs raw!, 15 flocker raw!,
  16 downwardAPI DownwardAPIVolumeSource!, 17 fc raw!, 18 azureFile raw!,
  19 configMap ConfigMapVolumeSource!, 20 vsphereVolume raw!, 21 quobyte raw!, 22 azureDisk raw!,
  23 photonPersistentDisk raw!, 26 projected ProjectedVolumeSource!, 24 portworxVolume raw!, 25 scaleIO raw!,
  27 storageos raw!, 28 csi CSIVolumeSource!, 29 ephemeral EphemeralVolumeSource!,
  30 image ImageVolumeSource!
ContainerPort: 1 name s, 2 hostPort i, 3 containerPort i, 4 protocol s, 5 hostIP s
EnvFromSource: 1 prefix s, 2 configMapRef ConfigMapEnvSource!, 3 secretRef SecretEnvSource!
EnvVar: 1 name s, 2 value s, 3 valueFrom EnvVarSource!
ContainerResizePolicy: 1 resourceName s, 2 restartPolicy s
VolumeMount: 1 name s, 2 readOnly b, 7 recursiveReadOnly s!, 3 mountPath s, 4 subPath s,
  5 mountPropagation s!, 6 subPathExpr s
VolumeDevice: 1 name s, 2 devicePath s
Probe: 1 - ProbeHandler, 2 initialDelaySeconds i, 3 timeoutSeconds i, 4 periodSeconds i,
  5 successThreshold i, 6 failureThreshold i, 7 terminationGracePeriodSeconds l!
Lifecycle: 1 postStart LifecycleHandler!, 2 preStop LifecycleHandler!, 3 stopSignal s!
SecurityContext: 1 capabilities Capabilities!, 2 privileged b!, 3 seLinuxOptions SELinuxOptions!,
  10 windowsOptions WindowsSecurityContextOptions!, 4 runAsUser l!, 8 runAsGroup l!, 5 runAsNonRoot b!,
  6 readOnlyRootFilesystem b!, 7 allowPrivilegeEscalation b!, 9 procMount s!,
  11 seccompProfile SeccompProfile!, 12 appArmorProfile AppArmorProfile!
EphemeralContainerCommon: 1 name s, 2 image s, 3 command *s, 4 args *s, 5 workingDir s,
  6 ports *ContainerPort, 19 envFrom *EnvFromSource, 7 env *EnvVar, 8 resources ResourceRequirements,
  23 resizePolicy *ContainerResizePolicy, 24 restartPolicy s!, 9 volumeMounts *VolumeMount,
  21 volumeDevices *VolumeDevice, 10 livenessProbe Probe!, 11 readinessProbe Probe!, 22 startupProbe Probe!,
  12 lifecycle Lifecycle!, 13 terminationMessagePath s, 20 terminationMessagePolicy s, 14 imagePullPolicy s,
  15 securityContext SecurityContext!, 16 stdin b, 17 stdinOnce b, 18 tty b
SELinuxOptions: 1 user s, 2 role s, 3 type s, 4 level s
WindowsSecurityContextOptions: 1 gmsaCredentialSpecName s!, 2 gmsaCredentialSpec s!, 3 runAsUserName s!,
  4 hostProcess b!
Sysctl: 1 name s, 2 value s
SeccompProfile: 1 type s, 2 localhostProfile s!
AppArmorProfile: 1 type s, 2 localhostProfile s!
NodeAffinity: 1 requiredDuringSchedulingIgnoredDuringExecution NodeSelector!,
  2 preferredDuringSchedulingIgnoredDuringExecution *PreferredSchedulingTerm
)",
    R"(
PodAffinity: 1 requiredDuringSchedulingIgnoredDuringExecution *PodAffinityTerm,
  2 preferredDuringSchedulingIgnoredDuringExecution *WeightedPodAffinityTerm
PodAntiAffinity: 1 requiredDuringSchedulingIgnoredDuringExecution *PodAffinityTerm,
  2 preferredDuringSchedulingIgnoredDuringExecution *WeightedPodAffinityTerm
PodDNSConfigOption: 1 name s, 2 value s!
ResourceClaim: 1 name s, 2 request s
ContainerState: 1 waiting ContainerStateWaiting!, 2 running ContainerStateRunning!,
  3 terminated ContainerStateTerminated!
VolumeMountStatus: 1 name s, 2 mountPath s, 3 readOnly b, 4 recursiveReadOnly s!
ContainerUser: 1 linux LinuxContainerUser!
ResourceStatus: 1 name s, 2 resources *ResourceHealth
ScopedResourceSelectorRequirement: 1 scopeName s, 2 operator s, 3 values *s
ClientIPConfig: 1 timeoutSeconds i!
RollingUpdateDaemonSet: 1 maxUnavailable is!, 2 maxSurge is!
RollingUpdateDeployment: 1 maxUnavailable is!, 2 maxSurge is!
RollingUpdateStatefulSetStrategy: 1 partition i!, 2 maxUnavailable is!
PodFailurePolicyRule: 1 action s, 2 onExitCodes PodFailurePolicyOnExitCodesRequirement!,
  3 onPodConditions *PodFailurePolicyOnPodConditionsPattern
SuccessPolicyRule: 1 succeededIndexes s!, 2 succeededCount i!
ObjectMetricSource: 1 describedObject CrossVersionObjectReference!, 2 target MetricTarget!,
  3 metric MetricIdentifier!
PodsMetricSource: 1 metric MetricIdentifier!, 2 target MetricTarget!
ResourceMetricSource: 1 name s, 2 target MetricTarget!
ContainerResourceMetricSource: 1 name s, 2 target MetricTarget!, 3 container s
ExternalMetricSource: 1 metric MetricIdentifier!, 2 target MetricTarget!
HPAScalingRules: 3 stabilizationWindowSeconds i!, 1 selectPolicy s!, 2 policies *HPAScalingPolicy,
  4 tolerance q!
ObjectMetricStatus: 1 metric MetricIdentifier!, 2 current MetricValueStatus!,
  3 describedObject CrossVersionObjectReference!
PodsMetricStatus: 1 metric MetricIdentifier!, 2 current MetricValueStatus!
ResourceMetricStatus: 1 name s, 2 current MetricValueStatus!
ContainerResourceMetricStatus: 1 name s, 2 current MetricValueStatus!, 3 container s
ExternalMetricStatus: 1 metric MetricIdentifier!, 2 current MetricValueStatus!
IngressServiceBackend: 1 name s, 2 port ServiceBackendPort
IngressRuleValue: 1 http HTTPIngressRuleValue!
NetworkPolicyPort: 1 protocol s!, 2 port is!, 3 endPort i!
NetworkPolicyPeer: 1 podSelector LabelSelector!, 2 namespaceSelector LabelSelector!, 3 ipBlock IPBlock!
FieldSelectorAttributes: 1 rawSelector s, 2 requirements *FieldSelectorRequirement
LabelSelectorAttributes: 1 rawSelector s, 2 requirements *LabelSelectorRequirement
SecretReference: 1 name s, 2 namespace s
NodeSelectorTerm: 1 matchExpressions *NodeSelectorRequirement, 2 matchFields *NodeSelectorRequirement
EmptyDirVolumeSource: 1 medium s, 2 sizeLimit q!
SecretVolumeSource: 1 secretName s, 2 items *KeyToPath, 3 defaultMode i!, 4 optional b!
PersistentVolumeClaimVolumeSource: 1 claimName s, 2 readOnly b
DownwardAPIVolumeSource: 1 items *DownwardAPIVolumeFile, 2 defaultMode i!
ConfigMapVolumeSource: 1 - LocalObjectReference, 2 items *KeyToPath, 3 defaultMode i!, 4 optional b!
ProjectedVolumeSource: 1 sources *VolumeProjection, 2 defaultMode i!
CSIVolumeSource: 1 driver s, 2 readOnly b!, 3 fsType s!, 4 volumeAttributes {s,
  5 nodePublishSecretRef LocalObjectReference!
EphemeralVolumeSource: 1 volumeClaimTemplate PersistentVolumeClaimTemplate!
ImageVolumeSource: 1 reference s, 2 pullPolicy s
ConfigMapEnvSource: 1 - LocalObjectReference, 2 optional b!
SecretEnvSource: 1 - LocalObjectReference, 2 optional b!
EnvVarSource: 1 fieldRef ObjectFieldSelector!, 2 resourceFieldRef ResourceFieldSelector!,
  3 configMapKeyRef ConfigMapKeySelector!, 4 secretKeyRef SecretKeySelector!
ProbeHandler: 1 exec ExecAction!, 2 httpGet HTTPGetAction!, 3 tcpSocket TCPSocketAction!, 4 grpc GRPCAction!
LifecycleHandler: 1 exec ExecAction!, 2 httpGet HTTPGetAction!, 3 tcpSocket TCPSocketAction!,
  4 sleep SleepAction!
Capabilities: 1 add *s, 2 drop *s
PreferredSchedulingTerm: 1 weight i, 2 preference NodeSelectorTerm!
PodAffinityTerm: 1 labelSelector LabelSelector!, 2 namespaces *s, 3 topologyKey s,
  4 namespaceSelector LabelSelector!, 5 matchLabelKeys *s, 6 mismatchLabelKeys *s
WeightedPodAffinityTerm: 1 weight i, 2 podAffinityTerm PodAffinityTerm!
ContainerStateWaiting: 1 reason s, 2 message s
ContainerStateRunning: 1 startedAt time
ContainerStateTerminated: 1 exitCode i, 2 signal i, 3 reason s, 4 message s, 5 startedAt time,
  6 finishedAt time, 7 containerID s
LinuxContainerUser: 1 uid l, 2 gid l, 3 supplementalGroups *l
ResourceHealth: 1 resourceID s, 2 health s
PodFailurePolicyOnExitCodesRequirement: 1 containerName s!, 2 operator s, 3 values *i
PodFailurePolicyOnPodConditionsPattern: 1 type s, 2 status s
MetricTarget: 1 type s, 2 value q!, 3 averageValue q!, 4 averageUtilization i!
MetricIdentifier: 1 name s, 2 selector LabelSelector!
HPAScalingPolicy: 1 type s, 2 value i, 3 periodSeconds i
MetricValueStatus: 1 value q!, 2 averageValue q!, 3 averageUtilization i!
ServiceBackendPort: 1 name s, 2 number i
HTTPIngressRuleValue: 1 paths *HTTPIngressPath
IPBlock: 1 cidr s, 2 except *s
FieldSelectorRequirement: 1 key s, 2 operator s, 3 values *s
NodeSelectorRequirement: 1 key s, 2 operator s, 3 values *s
KeyToPath: 1 key s, 2 path s, 3 mode i!
DownwardAPIVolumeFile: 1 path s, 2 fieldRef ObjectFieldSelector!, 3 resourceFieldRef ResourceFieldSelector!,
  4 mode i!
VolumeProjection: 1 secret SecretProjection!, 2 downwardAPI DownwardAPIProjection!,
  3 configMap ConfigMapProjection!, 4 serviceAccountToken ServiceAccountTokenProjection!,
  5 clusterTrustBundle ClusterTrustBundleProjection!
PersistentVolumeClaimTemplate: 1 metadata ObjectMeta, 2 spec PersistentVolumeClaimSpec!
ObjectFieldSelector: 1 apiVersion s, 2 fieldPath s
ResourceFieldSelector: 1 containerName s, 2 resource s, 3 divisor q
ConfigMapKeySelector: 1 - LocalObjectReference, 2 key s, 3 optional b!
SecretKeySelector: 1 - LocalObjectReference, 2 key s, 3 optional b!
ExecAction: 1 command *s
HTTPGetAction: 1 path s, 2 port is, 3 host s, 4 scheme s, 5 httpHeaders *HTTPHeader
TCPSocketAction: 1 port is, 2 host s
GRPCAction: 1 port i, 2 service s!
SleepAction: 1 seconds l
HTTPIngressPath: 1 path s, 3 pathType s!, 2 backend IngressBackend!
SecretProjection: 1 - LocalObjectReference, 2 items *KeyToPath, 4 optional b!
DownwardAPIProjection: 1 items *DownwardAPIVolumeFile
ConfigMapProjection: 1 - LocalObjectReference, 2 items *KeyToPath, 4 optional b!
ServiceAccountTokenProjection: 1 audience s, 2 expirationSeconds l!, 3 path s
ClusterTrustBundleProjection: 1 name s!, 2 signerName s!, 3 labelSelector LabelSelector!, 5 optional b!,
  4 path s
HTTPHeader: 1 name s, 2 value s
)",
};
extern const std::size_t kSchemaTexts = std::size(kSchemaText);

}  // namespace oddjob::devcluster
