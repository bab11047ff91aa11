package infra.tags_test

import data.infra.lib.plans_test as plans
import data.infra.tags

good := {"CostCenter": "cc-1234", "Owner": "shop@example.org"}

texts(after) := found if {
	violations := tags.deny with input as plans.plan([plans.create("aws_instance", "i", after)])
	found := plans.texts(violations)
}

test_both_tags_pass if {
	texts({"tags": good}) == set()
	texts({"tags": null, "tags_all": good}) == set()
}

test_the_providers_default_tags_count if {
	texts({"tags": {"CostCenter": "cc-1234"}, "tags_all": good}) == set()
}

test_missing_tags_are_each_named if {
	texts({}) == {"tag CostCenter is missing", "tag Owner is missing"}
	texts({"tags": {"Owner": "shop@example.org"}}) == {"tag CostCenter is missing"}
}

test_values_must_mean_something if {
	texts({"tags": {"CostCenter": "12", "Owner": "shop@example.org"}}) == {`tag CostCenter is "12", which does not match ^cc-[0-9]{4}$`}
	count(texts({"tags": {"CostCenter": "cc-1234", "Owner": "me"}})) == 1
}

test_what_cannot_be_tagged_needs_none if {
	count(tags.deny) == 0 with input as plans.plan([plans.create("aws_s3_bucket_acl", "a", {})])
}
