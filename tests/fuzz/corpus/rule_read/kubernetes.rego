1# METADATA
# title: What may run in a Kubernetes cluster
# description: |
#   Input is the AdmissionReview that the API server posts; `review` is the
#   answer it expects.
package infra.kubernetes

default allow := false

allow if {
	object_under_review
	count(deny) == 0
}

review := {
	"apiVersion": "admission.k8s.io/v1",
	"kind": "AdmissionReview",
	"response": {
		"uid": input.request.uid,
		"allowed": allow,
		"status": {"message": concat("; ", sort([text | some text in deny]))},
	},
}

deny contains text if {
	some container in containers
	container.securityContext.privileged
	text := sprintf("%s: container %s is privileged", [subject, container.name])
}

deny contains text if {
	some container in containers
	some capability in container.securityContext.capabilities.add
	capability in {"ALL", "NET_ADMIN", "SYS_ADMIN", "SYS_PTRACE"}
	text := sprintf("%s: container %s adds capability %s", [subject, container.name, capability])
}

deny contains text if {
	some field in ["hostNetwork", "hostPID", "hostIPC"]
	pod[field]
	not exempt
	text := sprintf("%s: %s is not allowed", [subject, field])
}

deny contains text if {
	some volume in pod.volumes
	volume.hostPath
	not exempt
	text := sprintf("%s: volume %s mounts %s of the host", [subject, volume.name, volume.hostPath.path])
}

deny contains text if {
	pod
	some label in data.infra.settings.kubernetes.required_labels
	not object_under_review.metadata.labels[label]
	text := sprintf("%s: label %s is missing", [subject, label])
}

# A deletion carries no new object: there is nothing to object to.
object_under_review := input.request.object if input.request.operation != "DELETE"

object_under_review := input.request.oldObject if input.request.operation == "DELETE"

subject := sprintf("%s %s", [
	lower(object_under_review.kind),
	object.get(object_under_review.metadata, "name", object.get(object_under_review.metadata, "generateName", "?")),
])

# The pod, wherever the kind keeps it.
pod := object_under_review.spec if {
	creates
	object_under_review.kind == "Pod"
}

pod := object_under_review.spec.template.spec if {
	creates
	object_under_review.kind in {"DaemonSet", "Deployment", "Job", "ReplicaSet", "StatefulSet"}
}

pod := object_under_review.spec.jobTemplate.spec.template.spec if {
	creates
	object_under_review.kind == "CronJob"
}

creates if input.request.operation in {"CREATE", "UPDATE"}

containers contains container if {
	some list in ["containers", "initContainers", "ephemeralContainers"]
	some container in pod[list]
}

exempt if input.request.namespace in data.infra.settings.kubernetes.exempt_namespaces
