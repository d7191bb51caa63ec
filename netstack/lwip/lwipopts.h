/* lwIP's options. lwIP does the handshake, the closing states, UDP, echo replies and IP; established TCP data passes it by
 * (netstack/stream.h says why). One stack is one copy of its state, so there is one interface and no locking. */
#ifndef LWIPOPTS_H
#define LWIPOPTS_H

/* One thread, no operating system below, timers called by stack.c */
#define NO_SYS 1
#define SYS_LIGHTWEIGHT_PROT 0
#define LWIP_SOCKET 0
#define LWIP_NETCONN 0
#define LWIP_TIMERS 0
#define LWIP_SINGLE_NETIF 1
#define LWIP_STATS 0

/* The heap is libc's: an idle stack then owns nothing but its state */
#define MEM_LIBC_MALLOC 1
#define MEMP_MEM_MALLOC 1
#define MEM_ALIGNMENT 8

/* A host on a point-to-point link: nothing is forwarded, discovered, configured or looped */
#define LWIP_ARP 0
#define LWIP_ETHERNET 0
#define LWIP_DHCP 0
#define LWIP_AUTOIP 0
#define LWIP_DNS 0
#define LWIP_RAW 0
#define LWIP_IGMP 0
#define IP_FORWARD 0
#define IP_OPTIONS_ALLOWED 0
#define IP_SOF_BROADCAST 0
#define LWIP_BROADCAST_PING 0
#define LWIP_MULTICAST_PING 0
#define LWIP_NETIF_LOOPBACK 0
#define LWIP_HAVE_LOOPIF 0
#define LWIP_IPV6 1
#define LWIP_IPV6_NUM_ADDRESSES 4
#define LWIP_IPV6_FORWARD 0
#define LWIP_IPV6_MLD 0
#define LWIP_IPV6_AUTOCONFIG 0
#define LWIP_IPV6_SEND_ROUTER_SOLICIT 0
#define LWIP_IPV6_DUP_DETECT_ATTEMPTS 0
#define LWIP_IPV6_ADDRESS_LIFETIMES 0
#define LWIP_ND6_NUM_NEIGHBORS 1
#define LWIP_ND6_NUM_DESTINATIONS 1
#define LWIP_ND6_NUM_PREFIXES 1
#define LWIP_ND6_NUM_ROUTERS 1
#define LWIP_ND6_QUEUEING 0
#define LWIP_ND6_ALLOW_RA_UPDATES 0
#define LWIP_ICMP6_DATASIZE 0

/* Fragments that come in are put together by fragments.c, with bounds; large datagrams are cut here */
#define IP_REASSEMBLY 0
#define LWIP_IPV6_REASS 0
#define IP_FRAG 1
#define LWIP_IPV6_FRAG 1
#define IP_DEFAULT_TTL 64

/* packet.c has checked every packet that gets here; what leaves is summed by checksum.c */
#define CHECKSUM_CHECK_IP 0
#define CHECKSUM_CHECK_TCP 0
#define CHECKSUM_CHECK_UDP 0
#define CHECKSUM_CHECK_ICMP 0
#define CHECKSUM_CHECK_ICMP6 0
#define LWIP_CHECKSUM_ON_COPY 0
unsigned short checksum_lwip(const void *bytes, int length);
#define LWIP_CHKSUM checksum_lwip

/* TCP: what the SYN offers. The real windows are set by window.c; lwIP queues no data of established connections */
#define TCP_MSS 8960
#define LWIP_WND_SCALE 1
#define TCP_RCV_SCALE 10
#define TCP_WND (32 * 1024 * 1024)
#define TCP_SND_BUF (4 * TCP_MSS)
#define TCP_SND_QUEUELEN 64
#define MEMP_NUM_TCP_SEG 64
#define LWIP_TCP_TIMESTAMPS 0
#define LWIP_TCP_SACK_OUT 1
#define TCP_QUEUE_OOSEQ 1
#define TCP_OOSEQ_MAX_PBUFS 4
#define TCP_OVERSIZE 0
#define TCP_LISTEN_BACKLOG 1
#define TCP_DEFAULT_LISTEN_BACKLOG 255
#define LWIP_TCP_RTO_TIME 1000
#define TCP_SYNMAXRTX 7
#define TCP_MSL 1000
#define LWIP_TCP_PCB_NUM_EXT_ARGS 1 /* gate.c's */

unsigned int random_lwip(void);
#define LWIP_RAND() random_lwip()
#define LWIP_HOOK_FILENAME "netstack/lwip/hooks.h"
#define LWIP_HOOK_TCP_ISN random_lwip_isn

#endif
