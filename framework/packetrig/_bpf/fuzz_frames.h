/* Walking along the headers of a frame, and making its lengths and checksums right. */
enum fz_kind {
	FZ_ETHER,
	FZ_TAG,
	FZ_MPLS,
	FZ_ARP,
	FZ_IP4,
	FZ_IP6,
	FZ_OPTIONS6,
	FZ_ROUTING6,
	FZ_FRAGMENT6,
	FZ_AH,
	FZ_TCP,
	FZ_UDP,
	FZ_SCTP,
	FZ_ICMP,
	FZ_ICMP6,
	FZ_IGMP,
	FZ_GRE,
	FZ_VXLAN,
	FZ_GENEVE,
	FZ_GUE,
	FZ_GTP,
	FZ_GTP_SESSION,
	FZ_L2TP,
	FZ_HDLC,
	FZ_PPP,
	FZ_PPPOE,
	FZ_PPPOE_DISCOVERY,
	FZ_KINDS
};
struct fz_header {
	uint8_t kind;
	uint8_t ip;
	uint8_t is_whole;
	uint16_t at;
	uint16_t size;
};
struct fz_walk {
	uint32_t count;
	uint32_t payload;
	uint32_t end;
	struct fz_header headers[24];
};
void fz_walk(const uint8_t *frame, uint32_t size, struct fz_walk *walk);
void fz_repair(uint8_t *frame, uint32_t size, bool lengths, bool checksums);
