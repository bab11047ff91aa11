package infra.plan_test

import data.infra.lib.plans_test as plans
import data.infra.plan

real := data.infra.testdata.plan

# What is wrong with a plan, for the tests of what becomes of that.
old_image := {
	"rule": "images.approved",
	"resource": "aws_instance.web",
	"message": "aws_instance.web: image ami-old is not approved",
}

exception(until) := {
	"rule": "images.approved",
	"resource": "aws_instance.web",
	"until": until,
	"reason": "Until the new image is out.",
}

decision_at(now, exceptions) := decision if {
	decision := plan.decision with input as plans.plan([])
		with data.infra.plan.violations as {old_image}
		with data.infra.settings.exceptions as exceptions
		with time.now_ns as time.parse_rfc3339_ns(now)
}

# No check has anything against it.
test_the_real_plan_is_allowed if {
	plan.decision == {"allow": true, "deny": set(), "warn": set()} with input as real
}

test_what_is_no_plan_is_refused if {
	every document in [{}, {"format_version": "0.1", "resource_changes": []}, {"format_version": "1.2"}] {
		decision := plan.decision with input as document
		decision == {"allow": false, "deny": {"input is not a Terraform plan (terraform show -json)"}, "warn": set()}
	}
}

test_an_empty_plan_is_allowed if {
	plan.allow with input as plans.plan([])
}

# The real plan, with one thing wrong for each check.
broken := {
	["aws_s3_bucket.logs", "acl", "public-read"]: `aws_s3_bucket.logs: bucket is public through acl "public-read"`,
	["module.web.aws_security_group.this", "ingress/0/from_port", 0]: "module.web.aws_security_group.this: SSH (port 22) is open to 0.0.0.0/0",
	["aws_s3_bucket.logs", "tags_all/Owner", "nobody"]: `aws_s3_bucket.logs: tag Owner is "nobody", which does not match ^[^@ ]+@example\.org$`,
	["module.web.aws_instance.this[0]", "ami", "ami-old"]: "module.web.aws_instance.this[0]: image ami-old is not approved",
	["aws_iam_policy.read_logs", "policy", `{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}`]: "aws_iam_policy.read_logs: policy allows * on every resource",
}

broken_plan := json.patch(real, [change |
	some [address, attribute, value], _ in broken
	some index, resource in real.resource_changes
	resource.address == address
	change := {
		"op": "add",
		"path": sprintf("/resource_changes/%d/change/after/%s", [index, attribute]),
		"value": value,
	}
])

test_each_check_is_heard if {
	decision := plan.decision with input as broken_plan
	decision.allow == false
	{text | some text in broken} - decision.deny == set()
}

test_an_exception_makes_it_a_warning if {
	decision_at("2026-12-30T23:59:59Z", [exception("2026-12-31T00:00:00Z")]) == {
		"allow": true,
		"deny": set(),
		"warn": {"aws_instance.web: image ami-old is not approved (allowed until 2026-12-31T00:00:00Z: Until the new image is out.)"},
	}
}

refused := {"allow": false, "deny": {old_image.message}, "warn": set()}

test_an_exception_ends if {
	decision_at("2026-12-31T00:00:00Z", [exception("2026-12-31T00:00:00Z")]) == refused
}

test_an_exception_is_for_one_rule_and_one_resource if {
	other_rule := object.union(exception("2200-01-01T00:00:00Z"), {"rule": "s3.public"})
	other_resource := object.union(exception("2200-01-01T00:00:00Z"), {"resource": "aws_instance.x"})
	decision_at("2026-11-01T00:00:00Z", [other_rule, other_resource]) == refused
}

test_every_exception_in_the_settings_says_why_and_until_when if {
	every one in data.infra.settings.exceptions {
		time.parse_rfc3339_ns(one.until) > 0
		count(one.reason) > 10
	}
}
