package infra.kubernetes_test

import data.infra.kubernetes

labels := {"app.kubernetes.io/name": "shop", "team": "shop"}

container(extra) := object.union({"name": "web", "image": "registry.example.org/shop:1.4"}, extra)

pod(spec) := {
	"apiVersion": "v1",
	"kind": "Pod",
	"metadata": {"name": "shop", "namespace": "shop", "labels": labels},
	"spec": object.union({"containers": [container({})]}, spec),
}

create(object) := {
	"apiVersion": "admission.k8s.io/v1",
	"kind": "AdmissionReview",
	"request": {
		"uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
		"operation": "CREATE",
		"namespace": "shop",
		"object": object,
		"oldObject": null,
		"userInfo": {"username": "alice", "groups": ["system:authenticated"]},
	},
}

denied(object) := texts if {
	texts := kubernetes.deny with input as create(object)
}

test_an_ordinary_pod_may_run if {
	kubernetes.allow with input as create(pod({}))
}

test_the_answer_repeats_the_uid if {
	answer := kubernetes.review with input as create(pod({}))
	answer.response == {
		"uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
		"allowed": true,
		"status": {"message": ""},
	}
}

test_the_answer_lists_all_reasons if {
	answer := kubernetes.review with input as create(pod({"hostPID": true, "hostNetwork": true}))
	answer.response.allowed == false
	answer.response.status.message == "pod shop: hostNetwork is not allowed; pod shop: hostPID is not allowed"
}

test_privileged_containers_wherever_they_hide if {
	lists := ["containers", "initContainers", "ephemeralContainers"]
	bad := {list: [container({"name": list, "securityContext": {"privileged": true}})] | some list in lists}
	denied(pod(bad)) == {sprintf("pod shop: container %s is privileged", [list]) | some list in lists}
	denied(pod({"containers": [container({"securityContext": {"privileged": false}})]})) == set()
}

adding(capabilities) := pod({"containers": [container({"securityContext": {"capabilities": {"add": capabilities}}})]})

test_capabilities if {
	denied(adding(["SYS_ADMIN", "CHOWN"])) == {"pod shop: container web adds capability SYS_ADMIN"}
	denied(adding(["CHOWN"])) == set()
}

test_the_host_is_out_of_reach if {
	fields := ["hostNetwork", "hostPID", "hostIPC"]
	denied(pod({field: true | some field in fields})) == {sprintf("pod shop: %s is not allowed", [field]) | some field in fields}
	denied(pod({field: false | some field in fields})) == set()
	mounting := pod({"volumes": [{"name": "root", "hostPath": {"path": "/"}}, {"name": "tmp", "emptyDir": {}}]})
	denied(mounting) == {"pod shop: volume root mounts / of the host"}
}

test_the_system_may_use_the_host_but_not_privilege if {
	request := {"request": {"namespace": "kube-system"}}
	network := object.union(create(pod({"hostNetwork": true})), request)
	kubernetes.allow with input as network
	bad := container({"securityContext": {"privileged": true}})
	not kubernetes.allow with input as object.union(create(pod({"containers": [bad]})), request)
}

test_labels_are_required if {
	bare := json.patch(pod({}), [{"op": "remove", "path": "/metadata/labels"}])
	denied(bare) == {
		"pod shop: label app.kubernetes.io/name is missing",
		"pod shop: label team is missing",
	}
}

test_pods_inside_other_kinds if {
	bad := {"hostNetwork": true, "containers": [container({})]}
	every kind in ["DaemonSet", "Deployment", "Job", "ReplicaSet", "StatefulSet"] {
		object := {"kind": kind, "metadata": {"name": "x", "labels": labels}, "spec": {"template": {"spec": bad}}}
		denied(object) == {sprintf("%s x: hostNetwork is not allowed", [lower(kind)])}
	}
	cron := {
		"kind": "CronJob",
		"metadata": {"generateName": "x-", "labels": labels},
		"spec": {"jobTemplate": {"spec": {"template": {"spec": bad}}}},
	}
	denied(cron) == {"cronjob x-: hostNetwork is not allowed"}
}

test_other_kinds_are_no_business_of_ours if {
	denied({"kind": "ConfigMap", "metadata": {"name": "x"}, "data": {}}) == set()
}

test_deleting_is_always_possible if {
	request := {"uid": "1", "operation": "DELETE", "namespace": "shop", "object": null, "oldObject": pod({"hostNetwork": true})}
	kubernetes.allow with input as {"request": request}
}

test_a_request_about_nothing_is_refused if {
	not kubernetes.allow with input as {}
}
