/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * role - what the supervisor and a role say to each other.
 *
 * A SOCK_SEQPACKET socketpair, one message a packet: a word, a space and text,
 * with descriptors beside it (SCM_RIGHTS). The role finds its end at
 * ROLE_CHANNEL_FD. It trusts the supervisor; the supervisor believes nothing
 * but the few words below and treats the texts as bytes to show.
 *
 * Order to a role: "conf NAME" + memfd with the configuration's text;
 * relay: "secret" + memfd (or none); relay: "spool" + directory descriptor,
 * "control" + listening socket, "status" + listening socket;
 * intake: "listen NAME" + socket, for each; both: "handover" + stream socket
 * (again whenever the other role is replaced); "start".
 * Later: "ping", "drain".
 * From a role: "ready", "pong TURNS", "status TEXT", "sandbox LEVEL",
 * "reload" (relay only), "drained".
 */
#ifndef ROLE_H
#define ROLE_H

#define ROLE_CHANNEL_FD 3

int role_intake_main(void);	/* exit status */
int role_relay_main(void);

#endif
