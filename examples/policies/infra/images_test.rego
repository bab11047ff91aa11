package infra.images_test

import data.infra.images
import data.infra.lib.plans_test as plans

approved := {"ami-1": "base"}

denied(resource) := violations if {
	violations := images.deny with input as plans.plan([resource])
		with data.infra.settings.approved_amis as approved
}

test_approved_images_pass if {
	denied(plans.create("aws_instance", "i", {"ami": "ami-1"})) == set()
	denied(plans.create("aws_launch_template", "t", {"image_id": "ami-1"})) == set()
}

test_other_images_are_refused if {
	plans.texts(denied(plans.create("aws_instance", "i", {"ami": "ami-2"}))) == {"image ami-2 is not approved"}
	plans.texts(denied(plans.create("aws_launch_template", "t", {"image_id": "ami-2"}))) == {"image ami-2 is not approved"}
	plans.texts(denied(plans.create("aws_launch_configuration", "c", {"image_id": "ami-2"}))) == {"image ami-2 is not approved"}
}

test_an_image_nobody_knows_yet_is_refused if {
	resource := object.union(
		plans.create("aws_instance", "i", {}),
		{"change": {"after_unknown": {"ami": true}}},
	)
	some text in plans.texts(denied(resource))
	startswith(text, "image is not known before the plan is applied")
}

test_a_template_may_leave_the_image_open if {
	denied(plans.create("aws_launch_template", "t", {"image_id": null})) == set()
}
