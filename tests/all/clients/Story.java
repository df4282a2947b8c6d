import io.fabric8.kubernetes.api.model.ConfigMap;
import io.fabric8.kubernetes.api.model.ConfigMapBuilder;
import io.fabric8.kubernetes.api.model.Secret;
import io.fabric8.kubernetes.api.model.SecretBuilder;
import io.fabric8.kubernetes.api.model.ServiceAccount;
import io.fabric8.kubernetes.api.model.ServiceAccountBuilder;
import io.fabric8.kubernetes.client.KubernetesClient;
import io.fabric8.kubernetes.client.KubernetesClientBuilder;
import io.fabric8.kubernetes.client.KubernetesClientException;
import io.fabric8.kubernetes.client.Watch;
import io.fabric8.kubernetes.client.Watcher;
import io.fabric8.kubernetes.client.WatcherException;
import io.fabric8.kubernetes.client.dsl.Resource;
import io.fabric8.kubernetes.client.dsl.base.PatchContext;
import io.fabric8.kubernetes.client.dsl.base.PatchType;
import io.fabric8.kubernetes.client.informers.ResourceEventHandler;
import io.fabric8.kubernetes.client.informers.SharedIndexInformer;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/** What a job does with fabric8's Kubernetes client for Java, as its documentation shows it. Prints one line for each step. */
public class Story {
    public static void main(String[] arguments) throws Exception {
        try (KubernetesClient client = new KubernetesClientBuilder().build()) {
            read(client);
            write(client);
            secret(client);
            refusedAndHeld(client);
        }
    }

    /** Without a namespace everywhere: it is the pod's own, by the third file. */
    private static Resource<ConfigMap> map(KubernetesClient client) {
        return client.configMaps().withName("by-java");
    }

    private static ConfigMap made(String a) {
        return new ConfigMapBuilder().withNewMetadata().withName("by-java").addToLabels("by", "java").endMetadata()
            .addToData("a", a).build();
    }

    private static void read(KubernetesClient client) throws Exception {
        CompletableFuture<String> informed = new CompletableFuture<>();
        // Nothing is there yet, so what it is told comes by its watch.
        try (SharedIndexInformer<ConfigMap> informer = client.configMaps().withLabel("by", "java").inform(
                new ResourceEventHandler<>() {
                    public void onAdd(ConfigMap map) {
                        informed.complete(map.getMetadata().getName());
                    }

                    public void onUpdate(ConfigMap before, ConfigMap map) {}

                    public void onDelete(ConfigMap map, boolean unknown) {}
                })) {
            System.out.println("created " + client.resource(made("1")).create().getMetadata().getName());
            System.out.println("informed " + informed.get(30, TimeUnit.SECONDS));
        }
        client.configMaps().withLabel("by", "java").list().getItems()
            .forEach(item -> System.out.println("listed " + item.getMetadata().getName()));
        System.out.println("got a=" + map(client).get().getData().get("a"));
        CompletableFuture<String> watched = new CompletableFuture<>();
        try (Watch watch = client.configMaps().withLabel("by", "java").watch(new Watcher<>() {
                public void eventReceived(Action action, ConfigMap map) {
                    watched.complete(action + " " + map.getMetadata().getName());
                }

                public void onClose(WatcherException error) {
                    watched.completeExceptionally(error);
                }
            })) {
            System.out.println("watched " + watched.get(30, TimeUnit.SECONDS));
        }
    }

    private static void write(KubernetesClient client) {
        ConfigMap edited = map(client).edit(map -> new ConfigMapBuilder(map).addToData("a", "2").build());
        System.out.println("edited a=" + edited.getData().get("a"));
        for (PatchType type : new PatchType[] {PatchType.JSON_MERGE, PatchType.STRATEGIC_MERGE}) {
            ConfigMap patched = map(client).patch(PatchContext.of(type), "{\"data\":{\"a\":\"" + type + "\"}}");
            System.out.println("patched a=" + patched.getData().get("a"));
        }
        ConfigMap own = new ConfigMapBuilder(made("")).withData(Map.of("b", "3")).build();
        System.out.println("applied " + client.resource(own).fieldManager("story").serverSideApply().getData());
        ConfigMap replaced = client.resource(new ConfigMapBuilder(map(client).get()).addToData("a", "4").build()).update();
        System.out.println("replaced a=" + replaced.getData().get("a"));
    }

    private static void secret(KubernetesClient client) {
        Secret secret = client.secrets().withName("of-java").get();
        String shown = secret.getData().get("password");
        String value = new String(Base64.getDecoder().decode(shown), StandardCharsets.UTF_8);
        System.out.println(value.startsWith("sallyport: masked value") ? "secret is masked" : "secret is " + value);
        Secret edited = client.secrets().withName("of-java").edit(
            before -> new SecretBuilder(before).editMetadata().addToLabels("by", "java").endMetadata().build());
        System.out.println("edited " + edited.getData().get("password").equals(shown));
        Secret own = new SecretBuilder(edited).addToData("own", "bmV3").build();
        System.out.println("written back " + client.resource(own).update().getData().get("password").equals(shown));
    }

    private static void refusedAndHeld(KubernetesClient client) {
        try {
            client.namespaces().withName("sallyport").delete();
        } catch (KubernetesClientException refused) {
            System.out.println("refused " + refused.getCode() + " " + refused.getStatus().getReason());
        }
        ServiceAccount bot = new ServiceAccountBuilder().withNewMetadata().withName("by-java-bot").endMetadata().build();
        System.out.println("held and made " + client.resource(bot).create().getMetadata().getName());
        map(client).delete();
        System.out.println("deleted by-java");
        System.out.println("gone " + map(client).get());
    }
}
