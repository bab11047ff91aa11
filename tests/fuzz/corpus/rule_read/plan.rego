1# METADATA
# title: May this Terraform plan be applied?
# description: |
#   Input is what `terraform show -json plan.out` prints. All checks on one
#   page; an exception in settings/data.json turns a violation into a warning
#   until its time is over.
package infra.plan

import data.infra.iam
import data.infra.images
import data.infra.network
import data.infra.s3
import data.infra.tags

default allow := false

# Something that is no plan is not waved through for lack of violations.
allow if {
	is_plan
	count(deny) == 0
}

deny contains violation.message if {
	some violation in violations
	not excepted(violation)
}

deny contains "input is not a Terraform plan (terraform show -json)" if not is_plan

warn contains text if {
	some violation in violations
	some exception in exceptions(violation)
	text := sprintf("%s (allowed until %s: %s)", [violation.message, exception.until, exception.reason])
}

decision := {"allow": allow, "deny": deny, "warn": warn}

violations contains violation if {
	some check in [iam.deny, images.deny, network.deny, s3.deny, tags.deny]
	some violation in check
}

is_plan if {
	startswith(input.format_version, "1.")
	is_array(input.resource_changes)
}

excepted(violation) if count(exceptions(violation)) > 0

exceptions(violation) := {exception |
	some exception in data.infra.settings.exceptions
	exception.rule == violation.rule
	exception.resource == violation.resource
	time.now_ns() < time.parse_rfc3339_ns(exception.until)
}
