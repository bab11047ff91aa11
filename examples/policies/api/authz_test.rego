package api.authz_test

import data.api.authz

request(user, method, path) := {"user": user, "method": method, "path": path, "mfa": false}

# Roles of the tests' own, so that they do not change with the real ones.
roles := {
	"bindings": {
		"root": ["admin"],
		"helper": ["support"],
		"buyer": ["customer"],
		"gone": ["admin"],
	},
	"permissions": {
		"admin": [{"methods": ["GET", "DELETE"], "path": "/**"}],
		"support": [{"methods": ["GET"], "path": "/orders/**"}],
		"customer": [{"methods": ["POST"], "path": "/orders"}],
	},
	"suspended": ["gone"],
}

may(user, method, path) if authz.allow with input as request(user, method, path) with data.roles as roles

test_everyone_sees_products if {
	every path in ["/healthz", "/products", "/products/17"] {
		authz.allow with input as {"method": "GET", "path": path}
	}
}

test_nobody_writes_products_without_a_role if {
	not may("stranger", "PUT", "/products/17")
	not may("buyer", "PUT", "/products/17")
	not authz.allow with input as {"method": "PUT", "path": "/products/17"}
}

test_an_empty_request_is_refused if {
	not authz.allow with input as {}
}

test_a_role_grants_its_methods_and_paths_only if {
	may("helper", "GET", "/orders/7")
	may("helper", "GET", "/orders/7/items/1")
	not may("helper", "DELETE", "/orders/7")
	not may("helper", "GET", "/payments/7")
	may("buyer", "POST", "/orders")
	not may("buyer", "GET", "/orders/7")
}

test_a_single_star_stops_at_a_slash if {
	permissions := {"support": [{"methods": ["GET"], "path": "/orders/*"}]}
	one := object.union(roles, {"permissions": permissions})
	authz.allow with input as request("helper", "GET", "/orders/7") with data.roles as one
	not authz.allow with input as request("helper", "GET", "/orders/7/items") with data.roles as one
}

test_customers_see_and_change_their_own_record if {
	may("buyer", "GET", "/customers/buyer")
	may("buyer", "PUT", "/customers/buyer")
	may("buyer", "GET", "/customers/buyer/orders")
	not may("buyer", "DELETE", "/customers/buyer")
	not may("buyer", "GET", "/customers/helper")
	not may("buyer", "GET", "/customers/buyer/cards")
}

test_a_name_with_a_wildcard_is_only_a_name if {
	not may("x/../helper", "GET", "/customers/helper")
	not may("*", "GET", "/customers/helper")
	not may("*", "GET", "/customers/helper/orders")
}

test_the_suspended_are_refused_even_what_is_public if {
	not may("gone", "GET", "/orders/7")
	not may("gone", "GET", "/products")
	"the account is suspended" in authz.denied with input as request("gone", "GET", "/products")
		with data.roles as roles
}

test_deleting_needs_a_second_factor if {
	not may("root", "DELETE", "/orders/7")
	strong := object.union(request("root", "DELETE", "/orders/7"), {"mfa": true})
	authz.allow with input as strong with data.roles as roles
}

test_odd_paths_are_refused_for_everyone if {
	every path in ["orders/7", "/orders//7", "/orders/%37", "/products/../orders", "/./orders"] {
		not may("root", "GET", path)
	}
}

test_a_decision_names_its_reasons if {
	decision := authz.decision with input as request("helper", "GET", "/orders/7") with data.roles as roles
	decision == {"allow": true, "granted": {"role support"}, "denied": set()}
}

# From here on: the real roles.

test_every_role_somebody_has_is_defined if {
	used := {role |
		some bound in data.roles.bindings
		some role in bound
	}
	used - object.keys(data.roles.permissions) == set()
}

test_only_admins_have_everything if {
	owners := {role |
		some role, permissions in data.roles.permissions
		some permission in permissions
		permission.path == "/**"
	}
	owners == {"admin"}
}

test_shipping_changes_shipments_only if {
	authz.allow with input as request("shipping-service", "PUT", "/orders/7/shipment")
	not authz.allow with input as request("shipping-service", "PUT", "/orders/7")
}
