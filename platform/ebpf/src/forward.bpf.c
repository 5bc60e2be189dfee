// SPDX-License-Identifier: AGPL-3.0-only
//
// Sends a relay's envelopes on inside the kernel, at an interface's ingress (tc).
//
// Whatever is not an envelope of a known lease from where one of its peers is bound, or cannot be sent on here, goes up to
// the relay's sockets as if this were not there. Nothing here is trusted to be true of a packet that was not looked at.

#include <stdbool.h>
#include <stddef.h>

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>

#define SECTION(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))
#define HTONS(value) __builtin_bswap16(value)

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "numbers of packets are turned round here"
#endif

// Verdicts (tcx_action_base): whoever is next decides, or nobody does any more.
enum { NEXT = -1, DROP = 2 };

// Helpers of the kernel by their numbers (include/uapi/linux/bpf.h).
static void *(*map_lookup)(void *map, const void *key) = (void *)BPF_FUNC_map_lookup_elem;
static long (*load_bytes)(const void *skb, __u32 at, void *to, __u32 len) = (void *)BPF_FUNC_skb_load_bytes;
static long (*store_bytes)(void *skb, __u32 at, const void *from, __u32 len, __u64 flags) =
	(void *)BPF_FUNC_skb_store_bytes;
static long (*l3_csum_replace)(void *skb, __u32 at, __u64 from, __u64 to, __u64 flags) =
	(void *)BPF_FUNC_l3_csum_replace;
static long (*l4_csum_replace)(void *skb, __u32 at, __u64 from, __u64 to, __u64 flags) =
	(void *)BPF_FUNC_l4_csum_replace;
static __s64 (*csum_diff)(__be32 *from, __u32 from_len, __be32 *to, __u32 to_len, __wsum seed) =
	(void *)BPF_FUNC_csum_diff;
static __u64 (*ktime_get_boot_ns)(void) = (void *)BPF_FUNC_ktime_get_boot_ns;
static long (*redirect_neigh)(__u32 interface, void *next_hop, int len, __u64 flags) =
	(void *)BPF_FUNC_redirect_neigh;

// Laid out as `Peer` and `Lease` of map.rs.
struct peer {
	__be32 at[4]; // an IPv4 address is mapped into an IPv6 one
	__be32 local[4]; // the relay's address that it knows
	__be16 port; // 0: it is not bound
	__u16 pad;
	__u32 interface; // where its packets come in, noted here
	__u64 due; // when its next byte is due by the lease's rate (GCRA, ITU-T I.371), noted here; ns since boot
};

struct lease {
	__u64 expires; // ns since boot
	__u64 cost; // ns per byte, in 65536ths
	__u64 burst; // ns a peer may be ahead of its rate
	struct peer peers[2];
};

enum { PACKETS, BYTES, OVER_RATE, COUNTERS };

struct map {
	__u32 type;
	__u32 key_size;
	__u32 value_size;
	__u32 max_entries;
	__u32 flags;
};

// By the lease's name as it stands in the envelope; the relay says how many there may be.
struct map leases SECTION("maps") = {
	.type = BPF_MAP_TYPE_HASH,
	.key_size = sizeof(__u64),
	.value_size = sizeof(struct lease),
	.max_entries = 1,
};

struct map counters SECTION("maps") = {
	.type = BPF_MAP_TYPE_PERCPU_ARRAY,
	.key_size = sizeof(__u32),
	.value_size = sizeof(__u64),
	.max_entries = COUNTERS,
};

// The relay's port, which it sets before this is loaded.
const volatile __be16 PORT = 0;

#define MAPPED 0xffff0000u // the third word of an IPv4 address as an IPv6 one: 0000:ffff
#define ENVELOPE 0x30 // SPEC 18.3
#define TAG_LEN 8
#define ENVELOPE_LEN (1 + TAG_LEN)
#define SEGMENTS_MAX 64 // UDP_MAX_SEGMENTS
#define SMALL_MAX 300 // input, audio and feedback: they may be twice as far ahead
#define TTL 64

struct head {
	struct udphdr udp;
	__u8 envelope[ENVELOPE_LEN];
} __attribute__((packed));

// Where things are in a packet.
struct places {
	__u32 source; // addresses: of the source, then of the destination
	__u32 address_len;
	__u32 udp;
};

INLINE bool is_same(const __be32 *a, const __be32 *b)
{
	return a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3];
}

INLINE bool is_mapped(const __be32 *a)
{
	return !a[0] && !a[1] && a[2] == MAPPED;
}

INLINE void count(__u32 which, __u64 more)
{
	__u64 *counter = map_lookup(&counters, &which);

	if (counter)
		*counter += more;
}

// Whether all datagrams that came as one are envelopes of the same lease.
INLINE bool is_of_one_lease(struct __sk_buff *skb, __u32 payload, const __u8 *first)
{
	__u32 segments = skb->gso_segs, size = skb->gso_size;

	if (!size)
		return true;
	if (segments < 1 || segments > SEGMENTS_MAX)
		return false;
	for (__u32 i = 1; i < SEGMENTS_MAX; i++) {
		__u8 other[ENVELOPE_LEN];

		if (i >= segments)
			break;
		if (load_bytes(skb, payload + i * size, other, sizeof(other)))
			return false;
		for (int byte = 0; byte < ENVELOPE_LEN; byte++)
			if (other[byte] != first[byte])
				return false;
	}
	return true;
}

// Whether the lease allows its peer so many bytes now. One address's packets are of one flow, which a machine handles on
// one processor, so the note is not contended for.
INLINE bool is_allowed(struct lease *lease, struct peer *peer, __u64 now, __u32 bytes)
{
	__u64 cost = bytes * lease->cost >> 16;
	__u64 due = peer->due > now ? peer->due : now;
	__u64 ahead = bytes <= SMALL_MAX ? 2 * lease->burst : lease->burst;

	if (due + cost > now + ahead)
		return false;
	peer->due = due + cost;
	return true;
}

// Writes addresses and ports of the way from the relay to a peer.
INLINE long readdress(struct __sk_buff *skb, const struct places *places, const struct udphdr *udp, __be32 *was,
		      struct peer *to)
{
	__u32 check = places->udp + offsetof(struct udphdr, check);
	__u32 ports = PORT | (__u32)to->port << 16, were = udp->source | (__u32)udp->dest << 16;
	bool has_check = udp->check != 0;
	__be32 now[8];
	__s64 sum;
	long failed;

	if (places->address_len == 4) {
		now[0] = to->local[3];
		now[1] = to->at[3];
		sum = csum_diff(was, 8, now, 8, 0);
		failed = l3_csum_replace(skb, ETH_HLEN + offsetof(struct iphdr, check), 0, sum, 0) |
			 store_bytes(skb, places->source, now, 8, 0);
	} else {
		__builtin_memcpy(&now[0], to->local, 16);
		__builtin_memcpy(&now[4], to->at, 16);
		sum = csum_diff(was, 32, now, 32, 0);
		failed = store_bytes(skb, places->source, now, 32, 0);
	}
	// Over IPv4 there may be none.
	if (has_check)
		failed |= l4_csum_replace(skb, check, 0, sum, BPF_F_PSEUDO_HDR | BPF_F_MARK_MANGLED_0) |
			  l4_csum_replace(skb, check, were, ports, BPF_F_MARK_MANGLED_0 | 4);
	return failed | store_bytes(skb, places->udp, &ports, sizeof(ports), 0);
}

// `was` are the packet's addresses as they stand in it, `from` and `at` the same as IPv6 addresses.
INLINE int forward(struct __sk_buff *skb, const struct places *places, __u32 udp_len, __be32 *was, const __be32 *from,
		   const __be32 *at)
{
	struct head head;
	struct udphdr udp;
	struct lease *lease;
	struct peer *peer, *other;
	__u64 tag, now;
	__u32 bytes;

	// A length that is not there is nobody's business here.
	if (udp_len < sizeof(head) || places->udp + udp_len > skb->len ||
	    load_bytes(skb, places->udp, &head, sizeof(head)))
		return NEXT;
	udp = head.udp;
	if (udp.dest != PORT || head.envelope[0] != ENVELOPE || HTONS(udp.len) != udp_len)
		return NEXT;
	__builtin_memcpy(&tag, head.envelope + 1, sizeof(tag));
	lease = map_lookup(&leases, &tag);
	if (!lease)
		return NEXT;
	if (is_same(lease->peers[0].at, from) && lease->peers[0].port == udp.source) {
		peer = &lease->peers[0];
		other = &lease->peers[1];
	} else if (is_same(lease->peers[1].at, from) && lease->peers[1].port == udp.source) {
		peer = &lease->peers[1];
		other = &lease->peers[0];
	} else {
		return NEXT;
	}
	now = ktime_get_boot_ns();
	if (now >= lease->expires || !is_same(peer->local, at))
		return NEXT;
	if (peer->interface != skb->ifindex)
		peer->interface = skb->ifindex;
	if (!other->port || !other->interface || is_mapped(other->at) != (places->address_len == 4) ||
	    !is_of_one_lease(skb, places->udp + sizeof(struct udphdr), head.envelope))
		return NEXT;
	bytes = udp_len - sizeof(struct udphdr);
	if (!is_allowed(lease, peer, now, bytes)) {
		count(OVER_RATE, skb->gso_size ? skb->gso_segs : 1);
		return DROP;
	}
	if (readdress(skb, places, &udp, was, other))
		return DROP;
	count(PACKETS, skb->gso_size ? skb->gso_segs : 1);
	count(BYTES, bytes);
	return redirect_neigh(other->interface, NULL, 0, 0);
}

INLINE int ipv4(struct __sk_buff *skb)
{
	struct places places = {
		.source = ETH_HLEN + offsetof(struct iphdr, saddr),
		.address_len = 4,
		.udp = ETH_HLEN + sizeof(struct iphdr),
	};
	__be32 was[2], from[4] = { 0, 0, MAPPED }, at[4] = { 0, 0, MAPPED };
	__be16 lived, lives;
	struct iphdr ip;
	int verdict;

	// Neither options nor fragments.
	if (load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) || *(__u8 *)&ip != 0x45 || ip.protocol != IPPROTO_UDP ||
	    ip.frag_off & HTONS(0x3fff))
		return NEXT;
	was[0] = from[3] = ip.saddr;
	was[1] = at[3] = ip.daddr;
	verdict = forward(skb, &places, HTONS(ip.tot_len) - sizeof(ip), was, from, at);
	if (verdict == NEXT || verdict == DROP)
		return verdict;
	// It lives as long as what a socket of the relay sends.
	lived = ip.ttl | IPPROTO_UDP << 8;
	lives = TTL | IPPROTO_UDP << 8;
	if (l3_csum_replace(skb, ETH_HLEN + offsetof(struct iphdr, check), lived, lives, 2) ||
	    store_bytes(skb, ETH_HLEN + offsetof(struct iphdr, ttl), &lives, sizeof(lives), 0))
		return DROP;
	return verdict;
}

INLINE int ipv6(struct __sk_buff *skb)
{
	struct places places = {
		.source = ETH_HLEN + offsetof(struct ipv6hdr, saddr),
		.address_len = 16,
		.udp = ETH_HLEN + sizeof(struct ipv6hdr),
	};
	__u8 lives = TTL;
	struct ipv6hdr ip;
	__be32 was[8];
	int verdict;

	// No extensions.
	if (load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) || ip.nexthdr != IPPROTO_UDP)
		return NEXT;
	__builtin_memcpy(was, &ip.saddr, sizeof(was));
	verdict = forward(skb, &places, HTONS(ip.payload_len), was, was, was + 4);
	if (verdict == NEXT || verdict == DROP)
		return verdict;
	if (store_bytes(skb, ETH_HLEN + offsetof(struct ipv6hdr, hop_limit), &lives, sizeof(lives), 0))
		return DROP;
	return verdict;
}

SECTION("classifier")
int relay(struct __sk_buff *skb)
{
	// Neither what is for another machine's card, nor what has a tag.
	if (skb->pkt_type != PACKET_HOST || skb->vlan_present)
		return NEXT;
	switch (skb->protocol) {
	case HTONS(ETH_P_IP):
		return ipv4(skb);
	case HTONS(ETH_P_IPV6):
		return ipv6(skb);
	default:
		return NEXT;
	}
}

// Nothing that is called here is kept from other licences.
char LICENSE[] SECTION("license") = "AGPL-3.0-only";
