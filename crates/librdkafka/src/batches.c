/*
 * Hands out record batches as they came, for partitions that are asked for so.
 *
 * This is librdkafka's rdkafka_msgset_reader.c with one function in the place of another. build.rs compiles it against the sources
 * that rdkafka-sys built, and the linker takes it for librdkafka's own object, since it defines the same names and comes first. It
 * is in every program that calls sluicebox_take_batches; were librdkafka's own taken as well, nothing would be linked, for its names
 * would be there twice. Why it is done so: docs/decisions/0025-batches-as-they-came.md.
 */

/* librdkafka names its reader of batches twice: where it is defined, which becomes `reader_of_librdkafka`, and in the table of
 * readers, which gets the function below: there no parenthesis follows, so the macro does not apply. */
#define rd_kafka_msgset_reader_v2(PARAMETER)                                                                           \
        rd_kafka_msgset_reader_v2(PARAMETER);                                                                          \
        static rd_kafka_resp_err_t reader_of_librdkafka(PARAMETER)

#include "rdkafka_msgset_reader.c"

#undef rd_kafka_msgset_reader_v2

#if RD_KAFKA_VERSION != 0x020c01ff
#error "Another librdkafka: compare its rd_kafka_msgset_reader_v2 with the one below, then write its version here"
#endif

/* In the flags of a partition, beside librdkafka's own, which are below 0x8000. */
#define TAKEN_AS_BATCHES 0x40000000

/* The key of a message that is a batch points here, which no key from a broker does. */
const char SLUICEBOX_BATCH = 0;

/* From the next answer on, the batches of a partition come as they are. Returns 0 if there can be no such partition. */
int sluicebox_take_batches(rd_kafka_t *rk, const char *topic, int32_t partition) {
        rd_kafka_toppar_t *rktp = rd_kafka_toppar_get2(rk, topic, partition, 0 /* ua_on_miss */, 1 /* create_on_miss */);
        if (!rktp)
                return 0;
        rd_kafka_toppar_lock(rktp);
        rktp->rktp_flags |= TAKEN_AS_BATCHES;
        rd_kafka_toppar_unlock(rktp);
        rd_kafka_toppar_destroy(rktp); /* from get2() */
        return 1;
}

static int are_taken_as_batches(rd_kafka_toppar_t *rktp) {
        int flags;
        rd_kafka_toppar_lock(rktp);
        flags = rktp->rktp_flags;
        rd_kafka_toppar_unlock(rktp);
        return flags & TAKEN_AS_BATCHES;
}

/* The number in so many bytes, the highest first. */
static uint64_t number(const unsigned char *bytes, int size) {
        uint64_t found = 0;
        while (size-- > 0)
                found = found << 8 | *bytes++;
        return found;
}

static int is_of_aborted_transaction(rd_kafka_msgset_reader_t *msetr, int attributes, int64_t producer, int64_t base) {
        int64_t aborted_from;
        if (!msetr->msetr_aborted_txns || !(attributes & RD_KAFKA_MSGSET_V2_ATTR_TRANSACTIONAL))
                return 0;
        aborted_from = rd_kafka_aborted_txns_get_offset(msetr->msetr_aborted_txns, producer);
        return aborted_from != -1 && base >= aborted_from;
}

/* Makes one message of a batch, of whose records librdkafka would unpack all and keep each apart. Left to librdkafka is what is not
 * wholly there or damaged, none of which it unpacks, and markers of transactions, which it keeps account of. */
static rd_kafka_resp_err_t rd_kafka_msgset_reader_v2(rd_kafka_msgset_reader_t *msetr) {
        rd_kafka_buf_t *rkbuf   = msetr->msetr_rkbuf;
        rd_kafka_toppar_t *rktp = msetr->msetr_rktp;
        rd_slice_t ahead        = rkbuf->rkbuf_reader; /* Reads ahead, and leaves the reader where it is. */
        const unsigned char *batch;
        rd_kafka_op_t *rko;
        rd_kafka_msg_t *rkm;
        int64_t length, base, last;
        size_t size;
        int attributes;

        if (!are_taken_as_batches(rktp) || !(batch = rd_slice_ensure_contig(&ahead, RD_KAFKAP_MSGSET_V2_SIZE)))
                return reader_of_librdkafka(msetr);
        length = (int32_t)number(batch + RD_KAFKAP_MSGSET_V2_OF_Length, 4);
        size   = RD_KAFKAP_MSGSET_V2_OF_Length + 4 + (size_t)length;
        ahead  = rkbuf->rkbuf_reader;
        if (length < RD_KAFKAP_MSGSET_V2_SIZE - 8 - 4 || !(batch = rd_slice_ensure_contig(&ahead, size)))
                return reader_of_librdkafka(msetr);
        attributes = (int)number(batch + RD_KAFKAP_MSGSET_V2_OF_Attributes, 2);
        /* No broker packs a marker: one that is packed is no marker to be unpacked here. */
        if ((attributes & RD_KAFKA_MSGSET_V2_ATTR_CONTROL) && !(attributes & RD_KAFKA_MSG_ATTR_COMPRESSION_MASK))
                return reader_of_librdkafka(msetr);
        if (msetr->msetr_rkb->rkb_rk->rk_conf.check_crcs &&
            number(batch + RD_KAFKAP_MSGSET_V2_OF_CRC, 4) !=
                rd_crc32c(0, batch + RD_KAFKAP_MSGSET_V2_OF_Attributes, size - RD_KAFKAP_MSGSET_V2_OF_Attributes))
                return reader_of_librdkafka(msetr);

        rkbuf->rkbuf_reader       = ahead;
        msetr->msetr_leader_epoch = (int32_t)number(batch + 8 + 4, 4);
        base                      = (int64_t)number(batch, 8);
        last = base + (int32_t)number(batch + RD_KAFKAP_MSGSET_V2_OF_LastOffsetDelta, 4);
        if (last < rktp->rktp_offsets.fetch_pos.offset) {
                /* Fetched before. */
        } else if (is_of_aborted_transaction(msetr, attributes,
                                             (int64_t)number(batch + RD_KAFKAP_MSGSET_V2_OF_ProducerId, 8), base)) {
                msetr->msetr_aborted_cnt++;
        } else {
                rko = rd_kafka_op_new_fetch_msg(&rkm, rktp, msetr->msetr_tver->version, rkbuf,
                                                RD_KAFKA_FETCH_POS(base, msetr->msetr_leader_epoch),
                                                sizeof(SLUICEBOX_BATCH), &SLUICEBOX_BATCH, size, batch);
                rkm->rkm_broker_id = msetr->msetr_broker_id;
                rd_kafka_q_enq(&msetr->msetr_rkq, rko);
                msetr->msetr_msgcnt++;
                msetr->msetr_msg_bytes += (int64_t)size;
        }
        msetr->msetr_next_offset = last + 1;
        return RD_KAFKA_RESP_ERR_NO_ERROR;
}
