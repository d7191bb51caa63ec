/* Linked into `warrend_hooked`: after the signal SIGRTMAX - n a worker dies at step n of a tunnel's move. */
#include <signal.h>

#include "tunnel/worker/change.h"

enum step { PREPARED, BEFORE_HAND_OVER, AFTER_HAND_OVER, TRANSFERRED, BEFORE_COMMIT, STEPS };

static volatile sig_atomic_t deadly = STEPS;

static void on_signal(int number)
{
	deadly = SIGRTMAX - number;
}

__attribute__((constructor)) static void watch(void)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	for (int step = 0; step < STEPS; step++)
		sigaction(SIGRTMAX - step, &action, NULL);
}

static void die_at(enum step step)
{
	if (deadly == (sig_atomic_t)step)
		__builtin_trap(); /* the sandbox refuses a signal */
}

enum message_status __real_change_prepare(struct context *context, struct tunnel **tunnel, struct message_prepare *message, int *descriptors,
                                          size_t count, enum message_applied *applied, char detail[160]);
enum message_status __wrap_change_prepare(struct context *context, struct tunnel **tunnel, struct message_prepare *message, int *descriptors,
                                          size_t count, enum message_applied *applied, char detail[160]);
enum message_status __wrap_change_prepare(struct context *context, struct tunnel **tunnel, struct message_prepare *message, int *descriptors,
                                          size_t count, enum message_applied *applied, char detail[160])
{
	enum message_status status = __real_change_prepare(context, tunnel, message, descriptors, count, applied, detail);
	die_at(PREPARED);
	return status;
}

void __real_change_hand_over(struct tunnel *tunnel);
void __wrap_change_hand_over(struct tunnel *tunnel);
void __wrap_change_hand_over(struct tunnel *tunnel)
{
	die_at(BEFORE_HAND_OVER);
	__real_change_hand_over(tunnel);
	die_at(AFTER_HAND_OVER);
}

void __real_change_take_transfer(struct tunnel *tunnel, const struct message_transfer *message);
void __wrap_change_take_transfer(struct tunnel *tunnel, const struct message_transfer *message);
void __wrap_change_take_transfer(struct tunnel *tunnel, const struct message_transfer *message)
{
	__real_change_take_transfer(tunnel, message);
	die_at(TRANSFERRED);
}

void __real_change_commit(struct tunnel *tunnel);
void __wrap_change_commit(struct tunnel *tunnel);
void __wrap_change_commit(struct tunnel *tunnel)
{
	die_at(BEFORE_COMMIT);
	__real_change_commit(tunnel);
}
