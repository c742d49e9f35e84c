// SPDX-License-Identifier: Apache-2.0
//
// Holds a pod's namespaces open: sleeps, reaps the orphans that a shared PID namespace hands to it, and leaves on the first signal to stop.
#include <signal.h>
#include <stddef.h>
#include <sys/wait.h>

int main(void)
{
	sigset_t signals;
	int signal_number;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGCHLD);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	// Blocked signals stay pending, so a child that ends between two calls is not missed.
	for (;;) {
		if (sigwait(&signals, &signal_number) != 0)
			return 1;
		if (signal_number != SIGCHLD)
			return 0;
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	}
}
