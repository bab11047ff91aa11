# METADATA
# title: Small plans for the tests of the checks
# description: |
#   A whole plan, as Terraform prints it, is in testdata/plan. The checks' own
#   tests say only what they are about; these functions add the rest.
package infra.lib.plans_test

plan(changes) := {
	"format_version": "1.2",
	"terraform_version": "1.9.8",
	"resource_changes": changes,
	"configuration": {"root_module": {}},
}

create(type, name, after) := change(type, name, ["create"], after)

change(type, name, actions, after) := {
	"address": sprintf("%s.%s", [type, name]),
	"mode": "managed",
	"type": type,
	"name": name,
	"provider_name": "registry.terraform.io/hashicorp/aws",
	"change": {"actions": actions, "before": null, "after": after, "after_unknown": {}},
}

# METADATA
# description: The rules that were broken, by resource.
broken(violations) := {[violation.resource, violation.rule] | some violation in violations}

# METADATA
# description: The texts without the resource in front.
texts(violations) := {text |
	some violation in violations
	text := substring(violation.message, count(violation.resource) + 2, -1)
}

test_helpers_make_what_terraform_prints if {
	made := create("aws_s3_bucket", "logs", {"bucket": "b"})
	real := data.infra.testdata.plan.resource_changes[1]
	real.type == made.type
	object.keys(made) - object.keys(real) == set()
	object.keys(made.change) - object.keys(real.change) == set()
}
