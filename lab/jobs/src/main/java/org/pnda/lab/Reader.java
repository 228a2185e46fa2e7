package org.pnda.lab;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.DecoderFactory;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Reads every committed record of a topic. Offsets only say where the topic ends: transaction markers
 * take offsets too, so that records are never counted by them.
 */
final class Reader {
    private static final Duration POLL = Duration.ofMillis(500);

    private Reader() {}

    static void each(String bootstrap, String topic, Schema schema, Consumer<GenericRecord> visitor) throws Exception {
        Properties properties = KafkaClients.properties();
        properties.setProperty("bootstrap.servers", bootstrap);
        properties.setProperty("isolation.level", "read_committed");
        properties.setProperty("enable.auto.commit", "false");
        GenericDatumReader<GenericRecord> reader = new GenericDatumReader<>(schema);
        try (KafkaConsumer<byte[], byte[]> consumer =
                new KafkaConsumer<>(properties, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            List<TopicPartition> partitions =
                    consumer.partitionsFor(topic).stream()
                            .map(info -> new TopicPartition(topic, info.partition()))
                            .collect(Collectors.toList());
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            // With read_committed this is the last stable offset: nothing beyond it is committed yet.
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
            while (ends.entrySet().stream().anyMatch(end -> consumer.position(end.getKey()) < end.getValue())) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(POLL)) {
                    visitor.accept(reader.read(null, DecoderFactory.get().binaryDecoder(record.value(), null)));
                }
            }
        }
    }
}
