#include "server/cli.h"

/* In the order of the overview. */
const struct cli_command *const cli_commands[] = {
	&cli_serve,
	&cli_token,
	&cli_audit,
	&cli_init,
	&cli_check,
	&cli_build,
	&cli_verify,
	&cli_diff,
	&cli_keygen,
	&cli_status,
	&cli_log,
	&cli_show,
	&cli_retest,
	&cli_rollback,
	&cli_pin,
	&cli_resume,
	&cli_fetch,
	&cli_suspend,
	&cli_unsuspend,
	&cli_accept,
	&cli_engine_config,
	&cli_man,
	NULL,
};
