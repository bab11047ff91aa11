package infra.plan_test

import data.infra.lib.plans_test as plans
import data.infra.plan

real := data.infra.testdata.plan

# The real plan, with one value of one resource set to something else.
changed(address, attribute, value) := json.patch(real, [{
	"op": "add",
	"path": sprintf("/resource_changes/%d/change/after/%s", [index, attribute]),
	"value": value,
}]) if {
	some index, resource in real.resource_changes
	resource.address == address
}

exception(until) := [{
	"rule": "images.approved",
	"resource": "module.web.aws_instance.this[0]",
	"until": until,
	"reason": "Until the new image is out.",
}]

old_image := changed("module.web.aws_instance.this[0]", "ami", "ami-old")

test_the_real_plan_is_allowed if {
	plan.decision == {"allow": true, "deny": set(), "warn": set()} with input as real
}

test_what_is_no_plan_is_refused if {
	every document in [{}, {"format_version": "0.1", "resource_changes": []}, {"format_version": "1.2"}] {
		not plan.allow with input as document
		plan.deny == {"input is not a Terraform plan (terraform show -json)"} with input as document
	}
}

test_an_empty_plan_is_allowed if {
	plan.allow with input as plans.plan([])
}

test_each_check_is_heard if {
	cases := {
		changed("aws_s3_bucket.logs", "acl", "public-read"): `aws_s3_bucket.logs: bucket is public through acl "public-read"`,
		changed("module.web.aws_security_group.this", "ingress/0/from_port", 0): "module.web.aws_security_group.this: SSH (port 22) is open to 0.0.0.0/0",
		changed("aws_s3_bucket.logs", "tags_all/Owner", "nobody"): `aws_s3_bucket.logs: tag Owner is "nobody", which does not match ^[^@ ]+@example\.org$`,
		old_image: "module.web.aws_instance.this[0]: image ami-old is not approved",
		changed("aws_iam_policy.read_logs", "policy", `{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}`): "aws_iam_policy.read_logs: policy allows * on every resource",
	}
	every document, text in cases {
		not plan.allow with input as document
		text in plan.deny with input as document
	}
}

test_an_exception_makes_it_a_warning if {
	decision := plan.decision with input as old_image
		with data.infra.settings.exceptions as exception("2026-12-31T00:00:00Z")
		with time.now_ns as time.parse_rfc3339_ns("2026-11-01T00:00:00Z")
	decision == {"allow": true, "deny": set(), "warn": {"module.web.aws_instance.this[0]: image ami-old is not approved (allowed until 2026-12-31T00:00:00Z: Until the new image is out.)"}}
}

test_an_exception_ends if {
	not plan.allow with input as old_image
		with data.infra.settings.exceptions as exception("2026-12-31T00:00:00Z")
		with time.now_ns as time.parse_rfc3339_ns("2026-12-31T00:00:00Z")
}

test_an_exception_is_for_one_rule_and_one_resource if {
	other_rule := [object.union(exception("2200-01-01T00:00:00Z")[0], {"rule": "s3.public"})]
	not plan.allow with input as old_image with data.infra.settings.exceptions as other_rule
	other_resource := [object.union(exception("2200-01-01T00:00:00Z")[0], {"resource": "aws_instance.x"})]
	not plan.allow with input as old_image with data.infra.settings.exceptions as other_resource
}

test_every_exception_in_the_settings_says_why_and_until_when if {
	every one in data.infra.settings.exceptions {
		time.parse_rfc3339_ns(one.until) > 0
		count(one.reason) > 10
	}
}
